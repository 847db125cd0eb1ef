import { loadBaseModel } from "../inference/load-base-model-node.ts";
import { head } from "../methods/head.ts";
import { difference, type ExportFormatDefinition, logitsOf } from "./export-format-node.ts";
import { writeMergedFolder } from "./merged-node.ts";

/** A model folder of Hugging Face Transformers. */
export const mergedFormat: ExportFormatDefinition = {
  merges: true,
  async write(job) {
    const { folder, base, weights } = job;
    const { description } = job.adapter;
    await writeMergedFolder(folder, base, description, weights);
    const again = await loadBaseModel(folder, description.task, 0);
    const alone = { ...description, method: head.name, methodOptions: {} };
    const found = await logitsOf(again, { description: alone, parameters: new Map() }, job);
    return { largestDifference: difference(job.expected, found) };
  },
};
