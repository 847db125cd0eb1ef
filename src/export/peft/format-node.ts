import { difference, type ExportFormatDefinition, logitsOf } from "../export-format-node.ts";
import { diskFolder } from "../output-folder-node.ts";
import { readPeftAdapter } from "./read-node.ts";
import { writePeftFolder } from "./write.ts";

/** An adapter's folder for Hugging Face PEFT. */
export const peftFormat: ExportFormatDefinition = {
  options: ["as"],
  async write(job) {
    const { folder, base, adapter, fitted, options } = job;
    await writePeftFolder(diskFolder(folder), base, fitted, adapter.parameters, options.as);
    const read = await readPeftAdapter(folder, { model: base.files.location });
    // PEFT knows neither the task nor its lengths.
    const { task, maxLength, lossOn } = adapter.description;
    const again = { ...read, description: { ...read.description, task, maxLength, ...(lossOn && { lossOn }) } };
    return { largestDifference: difference(job.expected, await logitsOf(base, again, job)) };
  },
};
