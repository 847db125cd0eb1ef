import { join } from "node:path";
import { build } from "vite";
import { refuseNode } from "../../web/refuse-node.ts";

/**
 * Bundles a module for a browser as ES modules, with the Wasm files that it names.
 * @param entry path of the module
 * @returns the name of its file in `directory`
 * @throws Error where the module, or anything that it imports, imports a module of Node or a package for Node alone
 */
export async function bundleForBrowser(entry: string, directory: string): Promise<string> {
  const file = "entry.js";
  await build({
    configFile: false,
    logLevel: "silent",
    plugins: [refuseNode],
    // Relative addresses: the bundle may lie anywhere on a server.
    base: "./",
    build: {
      outDir: directory,
      target: "es2022",
      modulePreload: false,
      rolldownOptions: { input: entry, output: { entryFileNames: file } },
    },
  });
  return join(directory, file);
}
