import { join } from "node:path";
import { openModelFolder } from "../checkpoints/model-folder.ts";
import { writeSafetensors } from "../checkpoints/safetensors-node.ts";
import { type Tensor, type Tensors, transposed } from "../graph/tensor.ts";
import type { AdapterDescription } from "../inference/adapter.ts";
import type { BaseModel } from "../inference/base-model.ts";
import { fullName } from "./hugging-face.ts";
import { copyTokenizer, writeConfig, writeGenerationConfig } from "./hugging-face-files.ts";
import { diskFolder } from "./output-folder-node.ts";
import { writeSentenceFiles } from "./sentence-transformers.ts";

/** Writes a Hugging Face model folder with `weights` (by name without the family's prefix) in float32. */
export async function writeMergedFolder(
  folder: string,
  base: BaseModel,
  description: AdapterDescription,
  weights: Tensors<"float32">,
): Promise<void> {
  const tensors = [...base.trace.weights.values()].map((weight) => {
    const tensor = weights.get(weight.name)!;
    return [fullName(base, weight), weight.transposed ? transposed(tensor) : tensor] as const;
  });
  const all = new Map([...tensors, ...(base.head === "pooled" ? await kept(base) : [])]);
  await writeSafetensors(join(folder, "model.safetensors"), all, { format: "pt" });
  const files = diskFolder(folder);
  await writeConfig(files, base, description);
  await copyTokenizer(files, base);
  if (base.architecture.kind === "encoder-decoder") await writeGenerationConfig(files, base);
  if (base.head === "pooled") await writeSentenceFiles(files, base, description.maxLength);
}

/** What Transformers has in a model without a head, though nothing of an embedding reads it, such as BERT's pooler. */
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
