import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";
import { style } from "../src/reports/page.ts";
import { PAGE_POLICY } from "../src/serving/page-policy.ts";
import { refuseNode } from "./refuse-node.ts";

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const SERVICE_WORKER = "service-worker.js";
const LIBRARY = "aflora-web";

/** The page's policy, and the reports' style, which its own stands on. */
const head: Plugin = {
  name: "head",
  transformIndexHtml: () => [
    {
      tag: "meta",
      attrs: { "http-equiv": "Content-Security-Policy", content: PAGE_POLICY },
      injectTo: "head-prepend",
    },
    { tag: "style", children: style, injectTo: "head-prepend" },
  ],
};

/** The example that the page begins with where nobody has a file. */
const example: Plugin = {
  name: "example",
  generateBundle() {
    const source = readFileSync(path("../examples/tickets.csv"));
    this.emitFile({ type: "asset", fileName: "examples/tickets.csv", source });
  },
};

/** ONNX Runtime's build with WebGPU: twice as large as the other, and for browsers with a graphics card alone. */
const isWebGpus = (name: string): boolean => /asyncify|ort\.webgpu/.test(name);

/** Tells the service worker what to keep: every file of the page. */
const keptFiles: Plugin = {
  name: "kept-files",
  writeBundle({ dir }) {
    const output = dir!;
    const hash = createHash("sha256");
    const files = readdirSync(output, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name !== SERVICE_WORKER)
      .map((entry) => join(entry.parentPath, entry.name))
      .sort();
    for (const file of files) hash.update(readFileSync(file));
    const names = files.map((file) => file.slice(output.length + 1).replaceAll(sep, "/"));
    const worker = join(output, SERVICE_WORKER);
    const text = readFileSync(worker, "utf8")
      .replace("__FILES__", ["./", ...names.filter((name) => !isWebGpus(name))].join(" "))
      .replace("__LATER__", names.filter(isWebGpus).join(" "))
      .replace("__VERSION__", hash.digest("hex").slice(0, 16));
    writeFileSync(worker, text);
  },
};

export default defineConfig({
  root: path("."),
  // Relative addresses: the page may lie anywhere on a host.
  base: "./",
  plugins: [refuseNode, head, example, keptFiles],
  worker: { format: "es", plugins: () => [refuseNode] },
  build: {
    outDir: path("../dist/page"),
    emptyOutDir: true,
    target: "es2022",
    modulePreload: false,
    chunkSizeWarningLimit: 2000,
    // A file within another would be an address that the page's policy forbids.
    assetsInlineLimit: 0,
    rolldownOptions: {
      checks: { pluginTimings: false },
      // Beside the page the library, for pages that have no bundler.
      input: { page: path("index.html"), [LIBRARY]: path("../src/web.ts") },
      preserveEntrySignatures: "strict",
      output: { entryFileNames: ({ name }) => (name === LIBRARY ? "[name].js" : "assets/[name]-[hash].js") },
    },
  },
});
