import { resolve } from "node:path";
import { isQuantized, quantizedParts } from "../architectures/base-format.ts";
import { defaultHead, isPretrained, type ModelTrace, traceModel } from "../architectures/trace.ts";
import { describeModelAt } from "../base-models/describe-model-node.ts";
import { UserError } from "../errors.ts";
import { totalFlops } from "../graph/flops.ts";
import { ELEMENT_SIZE, elementsOf } from "../graph/tensor.ts";
import { findMethod } from "../methods/methods.ts";
import { publishedOf, resolveConfig } from "../preparation/run-options-node.ts";
import { sourceName } from "../runs/run-data.ts";
import { stepsPerEpoch } from "../training/batches/batch-order.ts";
import { labelOf } from "./factors.ts";
import { type WrittenStep, writtenStep } from "./method-cost.ts";
import type { Study } from "./study.ts";
import { optionsOfMethod } from "./trial-options.ts";

/** Cost of one trial of a configuration, from the sizes that its study gives. */
export interface TrialCost {
  label: string;
  rows: number;
  steps: number;
  /** Parameters that train at the start, without the head. */
  trainable: number;
  /** Operations of training and of its evaluations. */
  flops: number;
  /** Bytes that the process takes. */
  memory: number;
}

/** Memory of a process that has loaded aflora and no model. */
const PROCESS = 250e6;
/** Copies of the trainable parameters: values, gradients, two moments, the best epoch's, a checkpoint's. */
const COPIES = 6;

/**
 * Computes what the trials of a study take from its model's config and its key `estimate`. Reads neither data nor weights.
 * Leaves out answers of language models.
 * @param folder that of the study file
 * @throws UserError if the study lacks the key, or a size
 */
export async function estimateFromConfig(study: Study, folder: string): Promise<TrialCost[]> {
  const { estimate, search } = study;
  if (!estimate) {
    throw new UserError(
      'the study has no sizes to estimate from; add the key "estimate" (docs/studies.md), or use --dry-run',
    );
  }
  const { description } = await describeModelAt(resolve(folder, estimate.model));
  const head = defaultHead(description.architecture);
  const { vocabularySize, labelCount } = description.config;
  const outputs = isPretrained(head) ? vocabularySize : labelCount;
  const trace = traceModel(description, outputs, head);
  const steps = new Map<string, WrittenStep>();
  const { choices } = await search.algorithm.begin(study, search.options);
  return choices.map(({ values, options }) => {
    const { source, run, method } = resolveConfig(givenOf(options));
    const name = sourceName(source);
    const data = estimate.data[name];
    if (!data) throw new UserError(`the study's "estimate.data" has no sizes of ${name}; add rows, scored and tokens`);
    const key = JSON.stringify([method, run.base]);
    const adaptation = findMethod(method.name).adapt(method.options, trace.modules);
    const model = { ...description, adaptation, labelCount: outputs, head, trainsHead: () => true };
    const step = steps.get(key) ?? writtenStep({ ...model, format: run.base }, trace);
    steps.set(key, step);
    const all = Math.min(data.rows, run.maxTrainSamples ?? data.rows);
    const rows = Math.round(all * (1 - study.holdOut));
    const scored = study.holdOut === 0 ? data.scored : all - rows;
    const texts = Math.max(1, Math.min(run.batchSize, Math.floor(run.tokenBudget / data.tokens)));
    const { flops, memory } = step.at(texts, data.tokens, data.answer);
    const forward = (flops.base.forward + flops.adapter.forward) / texts;
    const perEpoch = stepsPerEpoch(rows, run.batchSize);
    const count = run.maxSteps ?? run.epochs * perEpoch;
    const training = (count / perEpoch) * rows * (totalFlops(flops) / texts);
    // Also before the first step, and once more as saved.
    const evaluations = 2 + Math.ceil(count / (run.evaluateEvery ?? perEpoch));
    return {
      label: labelOf(values),
      rows,
      steps: count,
      trainable: step.trainable,
      flops: training + evaluations * scored * forward,
      memory: PROCESS + weightsOf(trace, run.base) + COPIES * ELEMENT_SIZE.float32 * step.trainable + memory,
    };
  });
}

/** A trial's options, with a place for data that is not there yet. A method without published settings has its defaults, as in a trial. */
function givenOf(options: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { preset, ...own } = optionsOfMethod(options);
  const given = own.task === undefined ? own : { data: ".", ...own };
  return preset !== undefined && publishedOf(given) ? { ...given, preset } : given;
}

function weightsOf({ weights }: ModelTrace, base: Parameters<typeof isQuantized>[1]): number {
  const stored = [...weights.values()].flatMap((weight) =>
    isQuantized(weight, base)
      ? quantizedParts(weight, base).map(([, part]) => part)
      : [{ dtype: "float32" as const, shape: weight.shape as number[] }],
  );
  return stored.reduce((sum, { dtype, shape }) => sum + ELEMENT_SIZE[dtype] * elementsOf(shape), 0);
}
