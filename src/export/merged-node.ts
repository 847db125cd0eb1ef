import { join } from "node:path";
import { z } from "zod";
import { readsSource } from "../architectures/architecture-kinds.ts";
import { hasFamily } from "../architectures/families.ts";
import type { AdapterDescription } from "../base-models/adapter.ts";
import type { BaseModel } from "../base-models/base-model.ts";
import { loadBaseModel } from "../base-models/load-base-model-node.ts";
import { openModelFolder } from "../checkpoints/model-folder.ts";
import { writeSafetensors } from "../checkpoints/safetensors-node.ts";
import { opt, UserError } from "../errors.ts";
import { type Tensor, type Tensors, transposed } from "../graph/tensor.ts";
import { head } from "../methods/head.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import type { ExportFormat } from "./export-format.ts";
import { backboneClass, fullName, isSentenceModel, labelNames } from "./hugging-face.ts";
import { copyTokenizer, writeConfig, writeGenerationConfig } from "./hugging-face-files.ts";
import type { OnWriting } from "./output-folder.ts";
import { diskFolder } from "./output-folder-node.ts";
import { readSentenceHead, sentenceReadme, writeSentenceFiles } from "./sentence-transformers.ts";

export const mergedFormat: ExportFormat = {
  name: "merged",
  summary: "a model folder for Hugging Face Transformers",
  library: "transformers",
  options: z.object({}),
  merges: true,
  async write({ folder, base, adapter: { description }, weights, onWriting, compare }) {
    const { modelType } = base.config;
    if (!hasFamily(modelType)) {
      throw new UserError(
        `aflora reads models of type "${modelType}" only from ONNX files, so it cannot check a folder of Transformers; use ${opt("format")} onnx or peft`,
      );
    }
    await writeMergedFolder(folder, base, description, weights, onWriting);
    const again = await loadBaseModel(folder, description.task, 0);
    const alone = { ...description, method: head.name, methodOptions: {} };
    return compare(again, { description: alone, parameters: await readSentenceHead(again.files, base) });
  },
};

async function writeMergedFolder(
  folder: string,
  base: BaseModel,
  description: AdapterDescription,
  weights: Tensors<"float32">,
  onWriting?: OnWriting,
): Promise<void> {
  const ofSentences = isSentenceModel(base);
  const tensors = [...base.trace.weights.values()]
    .filter(({ part }) => !ofSentences || part === "backbone")
    .map((weight) => {
      const tensor = weights.get(weight.name)!;
      return [fullName(base, weight), weight.transposed ? transposed(tensor) : tensor] as const;
    });
  const all = new Map([...tensors, ...(ofSentences ? await kept(base) : [])]);
  await writeSafetensors(join(folder, "model.safetensors"), all, { format: "pt" }, onWriting);
  const files = diskFolder(folder);
  await writeConfig(files, base, description, ofSentences ? { architectures: [backboneClass(base)] } : {});
  await copyTokenizer(files, base);
  if (readsSource(base)) await writeGenerationConfig(files, base);
  if (ofSentences) await writeSentenceFiles(files, base, description.maxLength, weights);
  const loading = ofSentences ? sentenceReadme(base, description) : modelReadme(description);
  await files.write("README.md", `# ${description.task.name}\n\n${loading}`);
}

function modelReadme({ task }: AdapterDescription): string {
  const { autoClass, readme } = findTaskKind(task.kind).huggingFace;
  return `Loads with Hugging Face Transformers:

\`\`\`python
from transformers import AutoTokenizer, ${autoClass}

tokenizer = AutoTokenizer.from_pretrained("path/of/this/folder")
model = ${autoClass}.from_pretrained("path/of/this/folder")
\`\`\`

${readme.outputs(labelNames(task), task.options)}
`;
}

/** Weights of Transformers' model without a head that an embedding does not use, such as BERT's pooler. */
async function kept({ files, architecture, unused }: BaseModel): Promise<[string, Tensor<"float32">][]> {
  const { weights } = await openModelFolder(files);
  const plain = (name: string): string => name.replace(new RegExp(`^${architecture.prefix}\\.`), "");
  const names = unused.filter((name) =>
    architecture.headUnderPrefix?.some((module) => plain(name).startsWith(`${module}.`)),
  );
  return Promise.all(
    names.map(async (name): Promise<[string, Tensor<"float32">]> => [plain(name), await weights.read(name)]),
  );
}
