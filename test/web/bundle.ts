import { isBuiltin } from "node:module";
import { join } from "node:path";
import { build, type Plugin } from "vite";

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

const FOR_NODE_ALONE = ["onnxruntime-node"];

/** A bundler would put an empty module in place of Node's, which fails only when it is used. */
const refuseNode: Plugin = {
  name: "refuse-node",
  enforce: "pre",
  resolveId(source, importer = "") {
    // Its package.json says that a browser does without: it reads files only where there are some.
    if (source === "fs" && /[/\\]node_modules[/\\]protobufjs[/\\]/.test(importer)) return;
    if (isBuiltin(source) || FOR_NODE_ALONE.includes(source)) {
      throw new Error(`${importer} imports ${source}, which no browser has`);
    }
  },
};
