import { resolveDuration } from "../methods/options.ts";
import { evaluatedCount, startExamples } from "../preparation/enough-examples.ts";
import type { RunMemory } from "../preparation/memory-fit-node.ts";
import type { PrepareOptions, SampledRun } from "../preparation/prepare-run.ts";
import type { FineTuningSettings } from "../preparation/training-options.ts";
import type { Example, TaskData } from "../tasks/example.ts";
import type { List } from "../tasks/list.ts";
import { runLength } from "../training/batches/batch-order.ts";
import type { TrainingEvent } from "../training/events.ts";
import { median } from "./statistics.ts";
import type { ShardTimes } from "./workers-estimate.ts";

/** Measured times of a few steps of a run on this machine, in seconds. */
export interface Timing {
  method: string;
  /** Time until training begins: reading data and model, compiling the step and the evaluation. */
  start: number;
  step: number;
  evaluated: number;
  memory: RunMemory;
  /** Expected mean time of the run's steps as a share of `step`, if blocks leave training evenly. */
  workLeft: number;
  length: {
    /** A fraction if the run's length is given in steps. */
    epochs: number;
    batchSize: number;
    contrastive: boolean;
    stepsPerEpoch: number;
    validation: number;
    evaluateEvery?: number | undefined;
    /** Steps of the last training on all rows; 0 if there is none. */
    refitSteps: number;
  };
}

/** Maximum number of timed steps, and the seconds after which timing stops early. */
const STEPS = 6;
const ENOUGH = 15;
const EVALUATED = 128;
/** Approximate share of a step that a forward pass takes. Used if no evaluation was timed. */
const FORWARD = 1 / 3;
/** Time to write the results (the adapter is read back and verified), as a share of `start`. */
const END = 0.5;

/**
 * Times a few steps of a run and an evaluation of a few examples. Writes nothing.
 * @param given options of a run
 * @param signal aborting ends the timing, with the signal's reason
 * @param shards records the parts of each step that workers could compute
 * @throws UserError if the run cannot work
 */
export async function timeRun(
  given: Readonly<Record<string, unknown>>,
  signal?: AbortSignal,
  shards?: ShardTimes,
): Promise<Timing> {
  const began = performance.now();
  let whole: { task: TaskData; settings: FineTuningSettings } | undefined;
  const sample: PrepareOptions["sample"] = (task, settings) => {
    whole = { task, settings };
    return sampleOf(task, settings);
  };
  // Help of commands that only name this search needs no modules for training.
  const [{ prepareFromFiles }, { refitSteps }] = await Promise.all([
    import("../preparation/prepare-from-files-node.ts"),
    import("../preparation/stages/refit.ts"),
  ]);
  const { fineTuning, runtime, memory, task, method, release } = await prepareFromFiles(given, { signal, sample });
  try {
    const timed = await timeSteps(fineTuning.train(runtime, { stopAfter: 1, signal, machines: shards }), shards);
    signal?.throwIfAborted();
    // The first step warms up.
    const step = median(warm(timed.steps));
    const counted = task.validation.reduce((sum, { examples }) => sum + examples.length, 0);
    const [first, second] = timed.evaluations;
    const evaluated = second
      ? (second - timed.lastStep) / 1000 / counted
      : (FORWARD * step) / whole!.settings.batchSize;
    // The head of the whole run reads examples that the sample lacks.
    const read = Math.min(whole!.task.train.length, startExamples(whole!.task));
    const unread = fineTuning.startsFitted ? Math.max(0, read - task.train.length) : 0;
    return {
      method: method.name,
      start: Math.max(0, (first! - began) / 1000 - evaluated * counted) + unread * evaluated,
      step,
      evaluated,
      memory,
      workLeft: fineTuning.workLeft,
      length: {
        ...lengthOf(whole!.task, whole!.settings),
        refitSteps: refitSteps(whole!.task, whole!.settings, fineTuning.startsFitted),
      },
    };
  } finally {
    await release();
  }
}

async function timeSteps(
  events: AsyncIterable<TrainingEvent>,
  shards: ShardTimes | undefined,
): Promise<{ steps: number[]; lastStep: number; evaluations: number[] }> {
  const steps: number[] = [];
  const evaluations: number[] = [];
  let lastStep = 0;
  for await (const event of events) {
    if (event.kind === "evaluation") evaluations.push(performance.now());
    if (event.kind !== "step") continue;
    steps.push(shards?.ended(event.seconds) ?? event.seconds);
    lastStep = performance.now();
    const seconds = steps.reduce((sum, each) => sum + each, 0);
    if (seconds > ENOUGH && steps.length > 1) break;
  }
  return { steps, lastStep, evaluations };
}

function lengthOf(task: TaskData, settings: FineTuningSettings): Omit<Timing["length"], "refitSteps"> {
  const { stepsPerEpoch, totalSteps } = runLength(settings, task.train.length);
  return {
    epochs: totalSteps / stepsPerEpoch,
    batchSize: settings.batchSize,
    contrastive: settings.contrastive,
    stepsPerEpoch,
    evaluateEvery: settings.evaluateEvery,
    validation: task.validation.reduce(
      (sum, { examples }) => sum + evaluatedCount(task, examples, settings.evaluateSamples),
      0,
    ),
  };
}

export const warm = <Each>(steps: readonly Each[]): readonly Each[] => steps.slice(steps.length > 1 ? 1 : 0);

/** Examples for a few steps and a short evaluation, in a run that is as long as the whole one. */
function sampleOf(task: TaskData, settings: FineTuningSettings): SampledRun {
  const { batchSize, localSteps, freezeBlocksEarliest } = settings;
  const whole = runLength(settings, task.train.length);
  const steps = Math.min(Math.max(STEPS, localSteps ?? 0), whole.stepsPerEpoch);
  // The freezing schedule must fit, and the first epoch must end soon.
  const epochs = Math.ceil(whole.totalSteps / steps) + 1;
  // In steps, because the sample's epochs are shorter than the run's.
  const earliest = resolveDuration(freezeBlocksEarliest, whole);
  return {
    task: {
      ...task,
      train: spread(task.train, steps * batchSize),
      validation: task.validation.map(({ name, examples }) => ({ name, examples: spread(examples, EVALUATED) })),
    },
    settings: {
      epochs,
      maxSteps: undefined,
      evaluateEvery: undefined,
      ...(earliest !== undefined && { freezeBlocksEarliest: String(earliest) }),
    },
  };
}

function spread(examples: List<Example>, count: number): Example[] {
  const stride = Math.max(1, examples.length / count);
  const indices = Array.from({ length: Math.min(count, examples.length) }, (_, i) => Math.floor(i * stride));
  return indices.map((i, index) => ({ ...examples.at(i)!, index }));
}

/** Number of evaluations between two epochs, including the one before the first step. */
export function evaluationsOf({ length }: Timing, { from = 0, to = length.epochs } = {}): number {
  const { stepsPerEpoch, evaluateEvery = stepsPerEpoch } = length;
  return Math.ceil(Math.round((to - from) * stepsPerEpoch) / evaluateEvery) + (from === 0 ? 1 : 0);
}

/**
 * Expected seconds of a run, from the start of its process to its end.
 * @param more examples that a freshly loaded model evaluates afterwards
 * @param from epochs done before; the run pauses after epoch `to`
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
