import { join } from "node:path";
import { difference, type ExportFormatDefinition, logitsOf } from "../export-format-node.ts";
import { GGUF_ADAPTER, readGgufAdapter, writeGgufFolder } from "./adapter-node.ts";

/** An adapter for llama.cpp. */
export const ggufFormat: ExportFormatDefinition = {
  async write(job) {
    const { folder, base, adapter, fitted } = job;
    await writeGgufFolder(folder, base, fitted);
    const again = await readGgufAdapter(join(folder, GGUF_ADAPTER), base, adapter.description);
    return { largestDifference: difference(job.expected, await logitsOf(base, again, job)) };
  },
};
