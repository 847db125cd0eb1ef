import { join } from "node:path";
import { z } from "zod";
import type { ExportFormat } from "../export-format.ts";
import { GGUF_ADAPTER, readGgufAdapter, writeGgufFolder } from "./adapter-node.ts";

export const ggufFormat: ExportFormat = {
  name: "gguf",
  summary: "an adapter for Ollama and llama.cpp",
  options: z.object({}),
  async write({ folder, base, adapter, fitted, compare }) {
    await writeGgufFolder(folder, base, fitted);
    return compare(base, await readGgufAdapter(join(folder, GGUF_ADAPTER), base, adapter.description));
  },
};
