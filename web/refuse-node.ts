import { isBuiltin } from "node:module";
import type { Plugin } from "vite";

const FOR_NODE_ALONE = ["onnxruntime-node"];

/** Refuses modules of Node, and packages for Node alone: a bundler would put an empty module in their place, which fails only when it is used. */
export const refuseNode: Plugin = {
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
