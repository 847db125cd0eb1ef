import { z } from "zod";
import { readPeftAdapter } from "../../base-models/peft/read-node.ts";
import { folderFiles } from "../../checkpoints/file-source-node.ts";
import type { ExportFormat } from "../export-format.ts";
import { diskFolder } from "../output-folder-node.ts";
import { readSentenceHead } from "../sentence-transformers.ts";
import { PEFT_FORMS, writePeftFolder } from "./write.ts";

const options = z.object({
  as: z
    .enum(PEFT_FORMS)
    .optional()
    .describe(
      "write adapters such as AdaLoRA's, which PEFT stores in a form of their own, as a LoRA of the remaining ranks",
    ),
});

export const peftFormat: ExportFormat<typeof options> = {
  name: "peft",
  summary: "an adapter for Hugging Face PEFT",
  library: "peft",
  options,
  async write({ folder, base, adapter, fitted, options, compare }) {
    await writePeftFolder(diskFolder(folder), base, fitted, adapter.parameters, options.as);
    const read = await readPeftAdapter(folder, { model: base.files.location });
    // PEFT stores neither the task nor its lengths.
    const { task, maxLength } = adapter.description;
    return compare(base, {
      description: { ...read.description, task, maxLength },
      // A head that reads pooled hidden states is in sentence-transformers' file, not in PEFT's.
      parameters: new Map([...read.parameters, ...(await readSentenceHead(folderFiles(folder), base))]),
    });
  },
};
