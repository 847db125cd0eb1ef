import { planMemory } from "../graph/memory.ts";
import { ELEMENT_SIZE, elementsOf } from "../graph/tensor.ts";
import type { EncodedExample, TrainingExample } from "../tasks/task-kind.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import { cutMicroBatches, exampleSize, fitsOneRun, runBudget } from "./batches/micro-batches.ts";
import { layOut } from "./batches/model-inputs.ts";
import { singleTexts } from "./batches/single-texts.ts";
import { packedSize } from "./frozen-blocks/packed-rows.ts";
import { type AdaptedModel, GRADIENT, type ModelGraph, writeInference, writeStep } from "./step-graph.ts";
import { keptStates, stepOf, type TrainOptions } from "./train-options.ts";
import { TrainedParameters } from "./trained-parameters.ts";

/** Expected memory of training, in bytes. */
export interface MemoryEstimate {
  /** Weights of the model and the method, in their storage format. */
  weights: number;
  /** AdamW's two moments, the schedule's state, and copies of the trainable parameters: gradients, the best epoch's, a checkpoint's. */
  optimizer: number;
  /**
   * Values of the largest micro-batch (mostly those kept for the backward pass), values of the largest batch of an evaluation, and
   * the outputs of all its examples.
   */
  activations: number;
  /** Upper limit on the cached hidden states of frozen blocks; undefined if no block freezes. */
  hiddenStates?: number;
}

/** A run whose memory is estimated. */
export interface MemoryOptions extends Omit<TrainOptions, "runtime"> {
  /** Training examples of usual lengths: all, or a part of them. */
  sample: readonly TrainingExample[];
}

/**
 * Estimates the memory of training from its graphs, for any token budget: their values on the batch of the longest texts,
 * node after node. It leaves out ONNX Runtime's own effects (in-place operations, fragmentation, scratch memory).
 */
export function estimateMemory(options: MemoryOptions): (tokenBudget: number) => MemoryEstimate {
  const { model, schedule, weights, task, sample, validation, settings } = options;
  const { model: stepped, objective } = stepOf(options);
  const now = { ...stepped, trainable: schedule.trainable(), frozenBlocks: schedule.frozenBlocks?.() };
  const step = writeStep(now, objective, settings);
  const trained = new TrainedParameters(model, schedule, weights).tensors;
  const gradients = Object.entries(step.outputs).filter(([name]) => name.startsWith(GRADIENT));
  // Parameters: copies of the best epoch and of a checkpoint. Gradients: two moments, and the gradients of the previous step.
  const kept = [...(schedule.state?.().tensors.values() ?? [])];
  const optimizer =
    sum(kept.map(({ data }) => data.byteLength)) +
    2 * sum([...trained.values()].map(({ data }) => data.byteLength)) +
    3 * ELEMENT_SIZE.float32 * sum(gradients.map(([, { shape }]) => elementsOf(shape as number[])));
  const isCoupled = objective.couples === "batch";
  const scored = validation.flatMap(({ encoded }) => encoded);
  const [batch, evaluated] = [sample, scored].map((examples, i) => {
    // The texts of an example stay together only if the loss needs them at once.
    const texts = isCoupled || i === 1 ? singleTexts(examples) : examples;
    return longestOf(texts, Math.ceil((settings.batchSize * texts.length) / examples.length));
  });
  const kind = findTaskKind(task.kind);
  const evaluation = writeInference(model, { readBy: kind });
  const logits = kind.readout ? 0 : model.labelCount * sum(scored.map(({ rows }) => rows?.length ?? 1));
  const plans = [
    isCoupled
      ? planOfCoupled(step, writeInference(now, { ...settings, readBy: { objective } }), batch!, stepped)
      : planOf(step, batch!, stepped),
    planOf(evaluation, evaluated!, model),
  ];
  return (tokenBudget) => ({
    weights: sum([...weights.values()].map(({ data }) => data.byteLength)),
    optimizer,
    activations: ELEMENT_SIZE.float32 * logits + sum(plans.map((plan) => plan(tokenBudget))),
    ...(schedule.frozenBlocks && { hiddenStates: hiddenStatesOf(options) }),
  });
}

/** Size of the hidden states of all training examples, up to the limit in memory. */
function hiddenStatesOf({ model, train, sample, settings }: MemoryOptions): number {
  const { format, memory } = keptStates(settings);
  const tokens = sum(singleTexts(sample).map(({ encoding }) => encoding.inputIds.length));
  const all = Math.ceil(tokens * (train.length / sample.length));
  return Math.min(memory, packedSize(all, model.config.hiddenSize, format));
}

/** Maximum memory that one of the micro-batches of these examples takes. */
function planOf(
  graph: ModelGraph,
  examples: readonly EncodedExample[],
  model: AdaptedModel,
): (tokenBudget: number) => number {
  const bytes = planMemory(Object.values(graph.outputs));
  return (tokenBudget) => {
    const found = new Map<string, Record<string, number>>();
    for (const part of cutMicroBatches(examples.map(exampleSize), runBudget(model, tokenBudget))) {
      const { sizes } = layOut(graph.streams, singleTexts(part.map((i) => examples[i]!)));
      found.set(JSON.stringify(sizes), sizes);
    }
    return Math.max(0, ...[...found.values()].map(bytes));
  };
}

/**
 * Maximum memory of a batch with coupled rows: that of one run, plus, if the batch does not fit in one run, that of parts which first
 * go through the model without gradients.
 */
function planOfCoupled(
  step: ModelGraph,
  forward: ModelGraph,
  examples: readonly EncodedExample[],
  model: AdaptedModel,
): (tokenBudget: number) => number {
  const bytes = planMemory(Object.values(step.outputs));
  const parts = [forward, step].map((graph) => planOf(graph, examples, model));
  return (tokenBudget) => {
    const fits = (count: number) =>
      fitsOneRun(examples.slice(0, count).map(exampleSize), runBudget(model, tokenBudget));
    let count = examples.length;
    while (!fits(count)) count--;
    const whole = bytes(layOut(step.streams, examples.slice(0, count)).sizes);
    return count === examples.length ? whole : whole + sum(parts.map((plan) => plan(tokenBudget)));
  };
}

/** The `count` examples with the most tokens. */
function longestOf<Example extends EncodedExample>(examples: readonly Example[], count: number): Example[] {
  return examples.toSorted((a, b) => exampleSize(b).tokens - exampleSize(a).tokens).slice(0, count);
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0);
