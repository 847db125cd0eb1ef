import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describeModel } from "../../src/architectures/families.ts";
import { readModelWeights } from "../../src/architectures/model-weights.ts";
import { traceModel } from "../../src/architectures/trace.ts";
import { openSafetensorsFile } from "../../src/checkpoints/safetensors-node.ts";
import type { TensorSource } from "../../src/checkpoints/tensor-source.ts";
import { int32 } from "../../src/graph/tensor.ts";
import { full } from "../../src/methods/full.ts";
import type { TrainingExample } from "../../src/tasks/task-kind.ts";
import type { AdaptedModel } from "../../src/training/step-graph.ts";

const folder = new URL("../fixtures/models/", import.meta.url);

/** What `oracle/encoder_decoders.py` writes of a model. */
interface Seq2SeqNumbers {
  examples: { inputIds: number[]; decoderInputIds: number[]; labels: number[] }[];
  loss: number;
  /** Ids of 20 texts, and what is written of each. */
  inputs: number[][];
  greedy: number[][];
  beams: number[][];
}

export const SEQ2SEQ = readdirSync(folder).filter((name) => existsSync(new URL(`${name}/seq2seq.json`, folder)));

export const seq2seqFolder = (name: string): string => fileURLToPath(new URL(`${name}/`, folder));

const read = (name: string) => JSON.parse(readFileSync(new URL(name, folder), "utf8"));
const open = (name: string): Promise<TensorSource> => openSafetensorsFile(fileURLToPath(new URL(name, folder)));

/** A fixture as it writes, every weight trained. */
export async function loadSeq2Seq(name: string) {
  const description = describeModel(read(`${name}/config.json`));
  const labelCount = description.config.vocabularySize;
  const trace = traceModel(description, labelCount, "languageModel");
  const source = await open(`${name}/model.safetensors`);
  const { weights, missing, unused } = await readModelWeights(source, description, trace);
  const adaptation = full.adapt({}, trace.modules);
  const model: AdaptedModel = { ...description, adaptation, labelCount, head: "languageModel", trainsHead: () => true };
  const numbers: Seq2SeqNumbers = read(`${name}/seq2seq.json`);
  return { model, trace, weights, missing, unused, numbers, expected: await open(`${name}/seq2seq.safetensors`) };
}

/** An example with a row for every token of the target. */
export function exampleOf(
  { inputIds, decoderInputIds, labels }: Seq2SeqNumbers["examples"][number],
  index: number,
): TrainingExample {
  const encodingOf = (ids: readonly number[]) => ({
    inputIds: Int32Array.from(ids),
    tokenTypeIds: new Int32Array(ids.length),
  });
  return {
    index,
    encoding: encodingOf(inputIds),
    decoder: encodingOf(decoderInputIds),
    rows: Int32Array.from(labels.keys()),
    targets: int32([labels.length], Int32Array.from(labels)),
    weights: new Float32Array(labels.length).fill(1),
  };
}
