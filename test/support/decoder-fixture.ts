import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { HeadName } from "../../src/architectures/architecture.ts";
import { describeModel } from "../../src/architectures/families.ts";
import { readModelWeights } from "../../src/architectures/model-weights.ts";
import { traceModel } from "../../src/architectures/trace.ts";
import { openSafetensorsFile } from "../../src/checkpoints/safetensors-node.ts";
import type { TensorSource } from "../../src/checkpoints/tensor-source.ts";
import type { Tensors } from "../../src/graph/tensor.ts";
import { asFloat32 } from "../../src/graph/tensor.ts";
import { full } from "../../src/methods/full.ts";
import type { EncodedExample } from "../../src/tasks/task-kind.ts";
import { layOut } from "../../src/training/batches/model-inputs.ts";
import { type AdaptedModel, writeInference } from "../../src/training/step-graph.ts";
import { runtime } from "./runtime.ts";

const folder = new URL("../fixtures/models/", import.meta.url);

/** What `oracle/decoders.py` writes of a model. */
export interface DecoderNumbers {
  examples: { inputIds: number[] }[];
  loss: number;
  long: { inputIds: number[]; rows: number };
  greedy: { prompt: number[]; continuation: number[] }[];
  sequence?: { labels: number[]; loss: number };
  token?: { labels: number[]; loss: number };
}

export const DECODERS = readdirSync(folder).filter((name) => existsSync(new URL(`${name}/decoder.json`, folder)));
export const LABELS = 3;

const read = (name: string) => JSON.parse(readFileSync(new URL(name, folder), "utf8"));
const open = (name: string): Promise<TensorSource> => openSafetensorsFile(fileURLToPath(new URL(name, folder)));

export const numbersOf = (name: string): DecoderNumbers => read(`${name}/decoder.json`);

/** A fixture under a head, every weight trained. @param source its weights; its own file's where absent */
export async function loadDecoder(name: string, head: HeadName, source?: TensorSource) {
  const description = describeModel(read(`${name}/config.json`), source?.network);
  const labelCount = head === "languageModel" ? description.config.vocabularySize : LABELS;
  const expected = await open(`${name}/decoder.safetensors`);
  const trace = traceModel(description, labelCount, head);
  const stored = source ?? (await open(`${name}/model.safetensors`));
  const { weights, missing, unused } = await readModelWeights(stored, description, trace);
  for (const { name: own } of missing) weights.set(own, await expected.read(`${head}.${own}`));
  const adaptation = full.adapt({}, trace.modules);
  const model: AdaptedModel = { ...description, adaptation, labelCount, head, trainsHead: () => true };
  return { model, weights, missing, unused, expected, numbers: numbersOf(name) };
}

export const exampleOf = (inputIds: readonly number[], index: number, rows?: Int32Array): EncodedExample => ({
  index,
  encoding: { inputIds: Int32Array.from(inputIds), tokenTypeIds: new Int32Array(inputIds.length) },
  ...(rows && { rows }),
});

/** The head's outputs over whole texts, row after row. */
export async function infer(model: AdaptedModel, weights: Tensors, examples: readonly EncodedExample[]) {
  const { outputs, streams } = writeInference(model);
  const compiled = await runtime.compile(outputs, weights);
  const { logits } = await compiled.run(layOut(streams, examples).inputs);
  await compiled.release();
  return asFloat32(logits!).data;
}
