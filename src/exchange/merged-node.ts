import { join } from "node:path";
import { writeSafetensors } from "../checkpoints/safetensors-node.ts";
import type { AdapterDescription } from "../finetuning/adapter.ts";
import type { BaseModel } from "../finetuning/base-model.ts";
import { type Tensors, transposed } from "../graph/tensor.ts";
import { fullName } from "./hugging-face.ts";
import { copyTokenizer, writeConfig } from "./hugging-face-node.ts";

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
  await writeSafetensors(join(folder, "model.safetensors"), new Map(tensors), { format: "pt" });
  await writeConfig(folder, base, description);
  await copyTokenizer(folder, base);
}
