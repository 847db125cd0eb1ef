import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { type HubOptions, resolveModel } from "../checkpoints/hub-node.ts";
import { type FolderConfig, openModelFolder } from "../checkpoints/model-folder.ts";
import type { Tensor } from "../graph/tensor.ts";
import { constant, normal, randomFor } from "../methods/initializers.ts";
import type { HeadKind, WeightSpec } from "../models/architecture.ts";
import { describeModel, type ModelDescription } from "../models/families.ts";
import { readModelWeights } from "../models/model-weights.ts";
import { type ModelTrace, traceModel } from "../models/trace.ts";
import type { TaskData } from "../tasks/example.ts";
import { loadTokenizer } from "../tokenization/load-tokenizer.ts";
import type { Tokenizer } from "../tokenization/tokenizer.ts";
import { headFor, labelCountFor } from "../training/training-example.ts";

/** The encoder that comes with aflora: sentence-transformers/all-MiniLM-L6-v2. */
export const BUNDLED_MODEL = "all-MiniLM-L6-v2";

/** Its name on the hub. */
export const BUNDLED_ON_HUB = `sentence-transformers/${BUNDLED_MODEL}`;

/** A pretrained model in memory, with a head for a task. */
export interface BaseModel extends ModelDescription {
  /** The name or folder it was asked for by; of a model on the hub `owner/name`. */
  name: string;
  /** Of a model on the hub, the commit that it is. */
  revision?: string;
  directory: string;
  tokenizer: Tokenizer;
  trace: ModelTrace;
  labelCount: number;
  head: HeadKind;
  /** By name without the family's prefix. */
  weights: Map<string, Tensor<"float32">>;
  /** Parts of the head that the checkpoint lacks, or has for other labels: made new. */
  newWeights: WeightSpec[];
  /** Tensors of the checkpoint that the model has no use for. */
  unused: string[];
}

/** Folder of a model: the bundled one by its name, any other as given. */
export function modelDirectory(name: string): string {
  return name === BUNDLED_MODEL ? fileURLToPath(new URL(`../../assets/${BUNDLED_MODEL}`, import.meta.url)) : name;
}

/**
 * Reads a model from its folder, the hub (`owner/name[@revision]`) or its cache. What the head lacks for the task is drawn
 * from `seed` as Hugging Face does: matrices normal, biases 0, normalisations 1. The checkpoint's own classifier is kept where it is for the
 * same labels.
 * @throws UserError where it is no model, not supported, damaged or cannot be fetched.
 */
export async function loadBaseModel(
  name: string,
  task: Pick<TaskData, "kind" | "labels">,
  seed: number,
  hub: HubOptions = {},
): Promise<BaseModel> {
  const directory = name === BUNDLED_MODEL ? modelDirectory(name) : await resolveModel(name, hub);
  const onHub = name !== BUNDLED_MODEL && directory !== name;
  const folder = await openModelFolder(directory);
  const description = describeModel(folder.config);
  const labelCount = labelCountFor(task);
  const head = headFor(task.kind);
  const trace = traceModel(description, labelCount, head);
  const known = hasLabels(folder.config, description.config.labelCount, head, task.labels, labelCount);
  const { weights, missing, unused } = readModelWeights(
    folder.weights,
    description,
    trace,
    (weight) => known || !weight.name.startsWith(`${trace.classifier}.`),
  );
  for (const { name: missed, shape } of missing) {
    const matrix = shape.length > 1;
    const initialize = matrix
      ? normal(description.config.initializerRange)
      : constant(missed.endsWith(".bias") ? 0 : 1);
    weights.set(missed, initialize(shape as number[], randomFor(seed, missed)));
  }
  return {
    ...description,
    name: onHub ? name.replace(/@.*$/, "") : name,
    ...(onHub && { revision: basename(directory) }),
    directory,
    tokenizer: await loadTokenizer(directory),
    trace,
    labelCount,
    head,
    weights,
    newWeights: missing,
    unused,
  };
}

/** Whether a checkpoint's head is of this kind and for these labels in this order; unnamed labels go by their numbers. */
function hasLabels(
  { architectures, id2label }: FolderConfig,
  ownCount: number,
  head: HeadKind,
  labels: readonly string[],
  labelCount: number,
): boolean {
  const suffix = head === "token" ? "ForTokenClassification" : "ForSequenceClassification";
  if (ownCount !== labelCount || !architectures?.some((name) => name.endsWith(suffix))) return false;
  return labels.every((label, i) => {
    const own = id2label?.[i] ?? `LABEL_${i}`;
    return own.toLowerCase() === label.toLowerCase() || (own === `LABEL_${i}` && label === String(i));
  });
}
