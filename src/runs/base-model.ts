import { fileURLToPath } from "node:url";
import { openModelFolder } from "../checkpoints/model-folder.ts";
import { constant, normal, randomFor } from "../methods/initializers.ts";
import type { WeightSpec } from "../models/architecture.ts";
import { describeModel, type ModelDescription } from "../models/families.ts";
import { readModelWeights } from "../models/model-weights.ts";
import { type ModelTrace, traceModel } from "../models/trace.ts";
import { loadTokenizer } from "../tokenization/load-tokenizer-node.ts";
import type { Tokenizer } from "../tokenization/tokenizer.ts";

/** The encoder that comes with aflora: sentence-transformers/all-MiniLM-L6-v2. */
export const BUNDLED_MODEL = "all-MiniLM-L6-v2";

/** A pretrained model in memory, with a head for a task. */
export interface BaseModel extends ModelDescription {
  /** The name or folder it was asked for by. */
  name: string;
  directory: string;
  tokenizer: Tokenizer;
  trace: ModelTrace;
  labelCount: number;
  /** By name without the family's prefix. */
  weights: Map<string, Float32Array>;
  /** Parts of the head that the checkpoint lacks, or has for another number of labels: made new. */
  newWeights: WeightSpec[];
  /** Tensors of the checkpoint that the model has no use for. */
  unused: string[];
}

/** Folder of a model: the bundled one by its name, any other as given. */
export function modelDirectory(name: string): string {
  return name === BUNDLED_MODEL ? fileURLToPath(new URL(`../../assets/${BUNDLED_MODEL}`, import.meta.url)) : name;
}

/**
 * Reads a model folder. What the head lacks is drawn from `seed` as Hugging Face does: weights normal, biases 0.
 * @throws UserError where the folder is no model, not supported or damaged.
 */
export async function loadBaseModel(name: string, labelCount: number, seed: number): Promise<BaseModel> {
  const directory = modelDirectory(name);
  const folder = await openModelFolder(directory);
  const description = describeModel(folder.config);
  const trace = traceModel(description, labelCount);
  const { weights, missing, unused } = readModelWeights(folder.weights, description, trace);
  for (const spec of missing) {
    const initialize = spec.name.endsWith(".bias") ? constant(0) : normal(description.config.initializerRange);
    weights.set(spec.name, initialize(spec.shape as number[], randomFor(seed, spec.name)));
  }
  return {
    ...description,
    name,
    directory,
    tokenizer: await loadTokenizer(directory),
    trace,
    labelCount,
    weights,
    newWeights: missing,
    unused,
  };
}
