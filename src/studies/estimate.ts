import { FineTuning } from "../fine-tuning/fine-tuning.ts";
import { loadTask } from "../fine-tuning/load-task-node.ts";
import { fitIntoMemory, type RunMemory } from "../fine-tuning/memory-fit-node.ts";
import { openReward } from "../fine-tuning/rewards/open-reward-node.ts";
import { parseOptions } from "../fine-tuning/run-options-node.ts";
import { refitSteps } from "../fine-tuning/stages/refit.ts";
import { suitedTo } from "../fine-tuning/suited-to.ts";
import { resolveDuration } from "../methods/options.ts";
import { withHead } from "../model/base-model.ts";
import { BUNDLED_MODEL } from "../model/bundled-model.ts";
import { loadBaseModel } from "../model/load-base-model-node.ts";
import { withMedia } from "../model/read-media.ts";
import { runtimeFor } from "../runtime/runtime-for-node.ts";
import type { Example, TaskData } from "../tasks/example.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import { stepsPerEpoch } from "../training/batches/batch-order.ts";
import type { EvaluationRecord } from "../training/records.ts";
import { median } from "./statistics.ts";
import type { ShardTimes } from "./workers-estimate.ts";

/** What a few steps of a run took on this machine; all in seconds. */
export interface Timing {
  /** Until training begins: reading data and model, compiling the step and the evaluation. */
  start: number;
  step: number;
  /** Of evaluation, one example. */
  evaluated: number;
  memory: RunMemory;
  /** Share of a step's time that the run's steps are expected to take on average, where blocks leave training evenly. */
  workLeft: number;
  /** How long the whole run is. */
  length: {
    epochs: number;
    batchSize: number;
    contrastive: boolean;
    stepsPerEpoch: number;
    validation: number;
    evaluateEvery?: number | undefined;
    /** Of the last training on all rows; 0 where there is none. */
    refitSteps: number;
  };
}

/** Steps that are timed at most, and the seconds after which fewer do. */
const STEPS = 6;
const ENOUGH = 15;
/** Validation examples that are evaluated. */
const EVALUATED = 128;
/** A forward pass alone takes about this share of a step: where evaluation was not timed. */
const FORWARD = 1 / 3;
/** Shares of `start` that writing a run's end takes: its adapter is read back and compared. */
const END = 0.5;

/**
 * Times a few steps of a run and an evaluation of a few examples, and writes nothing.
 * @param given options of a run
 * @param signal aborting ends it, with its reason
 * @param shards takes down what workers could compute of each step
 * @throws UserError where the run cannot work
 */
export async function timeRun(
  given: Readonly<Record<string, unknown>>,
  signal?: AbortSignal,
  shards?: ShardTimes,
): Promise<Timing> {
  const began = performance.now();
  const asked = parseOptions(given);
  const { model = BUNDLED_MODEL, revision, base: format, seed, offline } = asked.run;
  const found = await loadTask(asked, { offline });
  const loaded = await loadBaseModel(model, found, seed, { offline, revision, format, signal });
  const read = await withMedia(found, loaded, { signal });
  const { method } = asked;
  const run = asked.settle(suitedTo(read, given.adapter === undefined, loaded.pooling));
  // What else a fitted head reads is not known before it is.
  const features = run.headFeatures ?? (run.contrastive ? "sentence" : undefined);
  const task = { ...read, features };
  const base = features ? await withHead(loaded, task, seed) : loaded;
  const perEpoch = stepsPerEpoch(task.train.length, run.batchSize);
  const steps = Math.min(Math.max(STEPS, run.localSteps ?? 0), perEpoch);
  // As long as the run itself, so that its freezing schedule fits, and its first epoch is over soon.
  const epochs = Math.ceil((perEpoch * run.epochs) / steps) + 1;
  const sample = { ...task, ...sampleOf(task, steps * run.batchSize) };
  // In steps: the sample's epochs are shorter than the run's.
  const whole = { totalSteps: perEpoch * run.epochs, stepsPerEpoch: perEpoch };
  const earliest = resolveDuration(run.freezeBlocksEarliest, whole);
  const settings = {
    ...run,
    epochs,
    evaluateEvery: undefined,
    ...(earliest !== undefined && { freezeBlocksEarliest: String(earliest) }),
  };
  const { rollout } = findTaskKind(task.kind);
  const reward = rollout && (await openReward(run.taskOptions, () => runtimeFor({ threads: run.threads })));
  const fineTuning = new FineTuning({ base, task: sample, method, settings, reward });
  const runtime = runtimeFor(run);
  const { memory } = fitIntoMemory(fineTuning, runtime.device);

  const taken: number[] = [];
  const evaluations: { record: EvaluationRecord; at: number }[] = [];
  let lastStep = 0;
  for await (const event of fineTuning.train(runtime, { stopAfter: 1, signal, machines: shards })) {
    if (event.kind === "evaluation") evaluations.push({ record: event, at: performance.now() });
    if (event.kind !== "step") continue;
    taken.push(shards?.ended(event.seconds) ?? event.seconds);
    lastStep = performance.now();
    const seconds = taken.reduce((sum, each) => sum + each, 0);
    if (seconds > ENOUGH && taken.length > 1) break;
  }
  await reward?.release();
  signal?.throwIfAborted();
  // The first step warms up.
  const step = median(warm(taken));
  const counted = sample.validation.reduce((sum, { examples }) => sum + examples.length, 0);
  const [first, second] = evaluations;
  const evaluated = second ? (second.at - lastStep) / 1000 / counted : (FORWARD * step) / run.batchSize;
  return {
    start: Math.max(0, (first!.at - began) / 1000 - evaluated * counted),
    step,
    evaluated,
    memory,
    workLeft: fineTuning.workLeft,
    length: {
      epochs: run.epochs,
      batchSize: run.batchSize,
      contrastive: run.contrastive,
      stepsPerEpoch: perEpoch,
      evaluateEvery: run.evaluateEvery,
      refitSteps: refitSteps(task, run),
      validation: task.validation.reduce((sum, { examples }) => sum + examples.length, 0),
    },
  };
}

/** What came after the first, where anything did. */
export const warm = <Each>(steps: readonly Each[]): readonly Each[] => steps.slice(steps.length > 1 ? 1 : 0);

function sampleOf(task: TaskData, train: number): Pick<TaskData, "train" | "validation"> {
  return {
    train: spread(task.train, train),
    validation: task.validation.map(({ name, examples }) => ({ name, examples: spread(examples, EVALUATED) })),
  };
}

/** At most `count` of the examples, evenly spread. */
function spread(examples: readonly Example[], count: number): Example[] {
  const stride = Math.max(1, examples.length / count);
  const indices = Array.from({ length: Math.min(count, examples.length) }, (_, i) => Math.floor(i * stride));
  return indices.map((i, index) => ({ ...examples[i]!, index }));
}

/** Evaluations from one epoch to another, the one before the first step among them. */
export function evaluationsOf({ length }: Timing, { from = 0, to = length.epochs } = {}): number {
  const { stepsPerEpoch, evaluateEvery = stepsPerEpoch } = length;
  return Math.ceil(((to - from) * stepsPerEpoch) / evaluateEvery) + (from === 0 ? 1 : 0);
}

/**
 * Seconds that a run is expected to take, from its process's start to its end.
 * @param more examples that are evaluated after it, by a model that is loaded again
 * @param from epochs that were done before, `to` after which it pauses
 */
export function secondsOf(timing: Timing, more = 0, { from = 0, to = timing.length.epochs } = {}): number {
  const { start, step, evaluated, workLeft, length } = timing;
  const epochs = to - from;
  const evaluations = evaluationsOf(timing, { from, to });
  const training = epochs * length.stepsPerEpoch * step * workLeft + evaluations * length.validation * evaluated;
  const ends = to >= length.epochs;
  return (
    start +
    training +
    (ends ? END * start + length.refitSteps * step : 0) +
    (ends && more > 0 ? start + more * evaluated : 0)
  );
}
