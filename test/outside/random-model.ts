import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describeModel } from "../../src/architectures/families.ts";
import { traceModel } from "../../src/architectures/trace.ts";
import { writeSafetensors } from "../../src/checkpoints/safetensors-node.ts";
import type { Tensor } from "../../src/extend.ts";
import { constant, normal, randomFor } from "../../src/methods/initializers.ts";
import { writeVocabulary } from "../support/tiny-model.ts";

/** Writes a model folder of a registered family as a pretrained one would be, without a head: weights at random. */
export async function writeRandomModel(directory: string, settings: object): Promise<string> {
  await mkdir(directory, { recursive: true });
  const config = { ...settings, vocab_size: await writeVocabulary(directory) };
  const description = describeModel(config);
  const tensors = new Map<string, Tensor<"float32">>();
  for (const { name, shape, part } of traceModel(description, 1).weights.values()) {
    const initialize = shape.length > 1 ? normal(0.2) : constant(name.endsWith("bias") ? 0 : 1);
    const tensor = initialize(shape as number[], randomFor(1, name));
    if (part === "backbone") tensors.set(`${description.architecture.prefix}.${name}`, tensor);
  }
  await writeSafetensors(join(directory, "model.safetensors"), tensors);
  await writeFile(join(directory, "config.json"), JSON.stringify(config));
  return directory;
}
