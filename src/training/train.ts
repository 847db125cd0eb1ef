import { UserError } from "../errors.ts";
import type { Tensors } from "../graph/tensor.ts";
import type { Schedule } from "../methods/method.ts";
import type { Runtime } from "../runtime/session.ts";
import type { TaskData } from "../tasks/example.ts";
import type { TrainingExample } from "../tasks/task-kind.ts";
import { objectiveOf } from "../tasks/task-kinds.ts";
import { AdamW } from "./adamw.ts";
import { epochBatches, stepsPerEpoch } from "./batch-order.ts";
import { CurrentStep } from "./current-step.ts";
import { type EncodedSplit, Evaluator } from "./evaluate.ts";
import { BoundaryStates } from "./frozen-blocks/boundary-states.ts";
import type { SpillFile } from "./frozen-blocks/hidden-state-cache.ts";
import type { PackedFormat } from "./frozen-blocks/packed-rows.ts";
import { clippingFactor, globalNorm, scaleGradients } from "./gradient-norm.ts";
import { learningNotes } from "./learning-notes.ts";
import { learningRateFactor } from "./learning-rate.ts";
import type { EvaluationRecord, FreezingRecord, ScoresRecord, StepRecord } from "./records.ts";
import type { AdaptedModel } from "./step-graph.ts";
import { TrainedParameters } from "./trained-parameters.ts";
import { RunProgress, type TrainingState } from "./training-state.ts";

export interface TrainingSettings {
  epochs: number;
  /** Examples of one optimizer step. */
  batchSize: number;
  /** Most tokens of a micro-batch. */
  tokenBudget: number;
  /** Peak learning rate of the method's parameters. */
  learningRate: number;
  /** Peak learning rate of the head. */
  headLearningRate: number;
  weightDecay: number;
  /** Share of all steps over which the learning rates rise. */
  warmupRatio: number;
  /** The same in steps, which counts where it is given. */
  warmupSteps?: number | undefined;
  /** Global norm to which a step's gradients are clipped. */
  maxGradNorm: number;
  /** Of the order of examples and the dropout masks. */
  seed: number;
  /** Evaluate after every so many steps, and at the end; after each epoch where absent. */
  evaluateEvery?: number | undefined;
  /** Stop after this many evaluations without a better one. */
  patience?: number | undefined;
  /** Dropout as the model's configuration says. */
  dropout: boolean;
  /** Whether the backward pass computes each block again. */
  recompute?: boolean | undefined;
  /** How hidden states of frozen blocks are kept by example; `none` computes them again at each step. */
  freezeBlocksCache?: PackedFormat | "none" | undefined;
  /** Most memory that they take, MB; what is beyond goes to a file, where there may be one. */
  freezeBlocksMemory?: number | undefined;
}

/** What {@link TrainingSettings} of frozen blocks are where absent. */
export const BLOCK_CACHE = { format: "int16", memory: 1024 } as const;

export interface TrainOptions {
  model: AdaptedModel;
  schedule: Schedule;
  /** The model's weights and the method's parameters by name; what trains is changed in place. */
  weights: Tensors;
  task: Pick<TaskData, "kind" | "labels" | "metrics" | "options">;
  train: readonly TrainingExample[];
  validation: readonly EncodedSplit[];
  settings: TrainingSettings;
  runtime: Runtime;
  onStep?(record: StepRecord): void | Promise<void>;
  onFreezingCheck?(record: FreezingRecord): void | Promise<void>;
  onEvaluation?(record: EvaluationRecord): void | Promise<void>;
  /** Told before each evaluation of kinds that have such. */
  onScores?(record: ScoresRecord): void | Promise<void>;
  /** Opens a place for hidden states of frozen blocks beyond what memory may hold; they are computed again where absent. */
  openSpill?(): Promise<SpillFile>;
  /** Asked between two steps whether to save what is done; the parameters are copied only then. */
  checkpointIsDue?(stepsDone: number): boolean;
  /**
   * Called before the first step, where one is due, after each evaluation and where the run is aborted: save it, and the
   * run can go on from it.
   */
  onCheckpoint?(state: TrainingState): void | Promise<void>;
  /** Pause after this many epochs of the run, as if aborted there; nothing where the run ends before. */
  stopAfter?: number | undefined;
  /** Aborting ends the run as patience does, by its best evaluation; by the first that comes, where there was none yet. */
  timeUp?: AbortSignal | undefined;
  /** Aborting ends the run after the run of a graph at hand: a step or an evaluation that it cuts off is not taken. */
  signal?: AbortSignal | undefined;
  /** Where to go on from. The schedule must have been made with its state too. */
  resume?: TrainingState | undefined;
}

export interface TrainOutcome {
  state: TrainingState;
  /** The best evaluation by the task's first metric; undefined where there was none. */
  best: EvaluationRecord | undefined;
  last: EvaluationRecord | undefined;
  trainable: { start: number; average: number; end: number; head: number };
  /** Most bytes of hidden states that were kept of frozen blocks. */
  kept: { memory: number; file: number };
  /** Whether the signal or a pause ended the run. */
  aborted: boolean;
  /** What a run that learned nothing says of itself. */
  notes: string[];
}

/**
 * Fine-tunes `model` on `train` with AdamW, evaluating after each epoch or as often as the settings say.
 * The same options give the same numbers, to the bit, whether the run is cut off and resumed or not.
 * @throws UserError where the loss, a gradient, a parameter or the model's outputs are not finite, naming what and when.
 */
export async function train(options: TrainOptions): Promise<TrainOutcome> {
  const { model, schedule, weights, task, settings, runtime, signal, timeUp, resume, stopAfter } = options;
  const { batchSize, epochs, patience, seed, evaluateEvery } = settings;
  const perEpoch = stepsPerEpoch(options.train.length, batchSize);
  const totalSteps = epochs * perEpoch;

  const parameters = new TrainedParameters(model, schedule, weights);
  if (resume) parameters.restore(resume.parameters);
  const optimizer = new AdamW(parameters.groups(settings), resume?.optimizer);
  const progress = new RunProgress(resume, parameters.count());
  const stateNow = (): TrainingState =>
    progress.state({ parameters: parameters.copy(), optimizer: optimizer.state(), method: schedule.state?.() });
  let saved: number | undefined;
  const checkpoint = async (): Promise<void> => {
    await options.onCheckpoint?.(stateNow());
    saved = progress.step;
  };
  /** Whether what the latest step came to is to be evaluated, and was not yet. */
  const evaluationIsDue = (): boolean => {
    const { step: done } = progress;
    if (done === 0 || progress.last?.step === done) return false;
    return done % (evaluateEvery ?? perEpoch) === 0 || done === totalSteps;
  };
  const finished = (): boolean =>
    (progress.step >= totalSteps && !evaluationIsDue()) ||
    (patience !== undefined && progress.evaluationsSinceBest >= patience) ||
    (timeUp?.aborted === true && progress.best !== undefined);

  const { spills, ...kept } = keptStates(settings);
  const boundaryStates =
    schedule.frozenBlocks &&
    new BoundaryStates(model, weights, runtime, {
      ...kept,
      tokenBudget: settings.tokenBudget,
      openSpill: spills ? options.openSpill : undefined,
    });
  const paused = (): boolean => stopAfter !== undefined && progress.step >= stopAfter * perEpoch && !evaluationIsDue();

  const step = await CurrentStep.compile(model, schedule, weights, runtime, {
    objective: objectiveOf(task),
    ...settings,
    boundaryStates,
  });
  let evaluator: Evaluator | undefined;
  const evaluations: EvaluationRecord[] = [...(resume?.evaluations ?? [])];
  let saysTheSame = false;
  const evaluate = async (): Promise<EvaluationRecord | undefined> => {
    if (signal?.aborted) return undefined;
    evaluator ??= await Evaluator.compile(model, weights, runtime, task, settings);
    const evaluation = await unlessAborted(evaluator.evaluate(options.validation, signal), signal);
    if (!evaluation) return undefined;
    const { alike, scores, ...found } = evaluation;
    const { step: done } = progress;
    const epoch = done / perEpoch;
    const record: EvaluationRecord = { kind: "evaluation", ...found, step: done, epoch };
    saysTheSame = alike;
    if (scores) await options.onScores?.({ kind: "scores", epoch, ...scores });
    evaluations.push(record);
    return record;
  };
  const takeEvaluation = async (): Promise<boolean> => {
    const evaluation = await evaluate();
    if (!evaluation) return false;
    progress.addEvaluation(evaluation, () => parameters.copy());
    await options.onEvaluation?.(evaluation);
    await checkpoint();
    return true;
  };
  try {
    // Where the run starts from, so that what training gains can be told.
    const first = resume ? undefined : await evaluate();
    if (first) {
      await options.onEvaluation?.(first);
      await checkpoint();
    }
    // A run may go on after a step whose evaluation is to come.
    while (!finished() && !paused() && !signal?.aborted) {
      if (evaluationIsDue()) {
        if (await takeEvaluation()) continue;
        break;
      }
      const epoch = Math.floor(progress.step / perEpoch);
      const batches = epochBatches(seed, epoch, options.train, batchSize);
      for (let batch = progress.step - epoch * perEpoch; batch < perEpoch && !finished() && !signal?.aborted; batch++) {
        const started = performance.now();
        const t = progress.step;
        const examples = batches[batch]!.map((i) => options.train[i]!);

        const ahead = (): TrainingExample[] =>
          batches.slice(batch + 1, batch + 1 + AHEAD).flatMap((own) => own.map((i) => options.train[i]!));
        const outcome = await unlessAborted(step.run(t, examples, signal, ahead), signal);
        if (!outcome) break;
        const { loss, gradients, tokens } = outcome;
        const trainable = parameters.count(gradients);
        const frozenBlocks = schedule.frozenBlocks?.().count;
        const check = schedule.observe?.(t, gradients, parameters.tensors);
        const gradientNorm = globalNorm(gradients);
        const where = `step ${t} (epoch ${epoch + 1}, batch ${batch + 1} of ${perEpoch})`;
        refuseIfNotFinite({ loss, gradientNorm }, gradients, where);
        const factor = learningRateFactor(t, totalSteps, settings);
        const clipping = clippingFactor(gradientNorm, settings.maxGradNorm);
        const overflown = optimizer.step(parameters.tensors, gradients, factor, clipping);
        if (overflown) throw new UserError(`${overflown} has values that are not finite after ${where}; ${ADVICE}`);
        if (schedule.afterStep) {
          scaleGradients(gradients, clipping);
          schedule.afterStep(t, gradients, parameters.tensors);
        }

        const seconds = (performance.now() - started) / 1000;
        progress.addStep(outcome, trainable, seconds);
        if (check) {
          const newlyFrozenBlocks = check.blocks?.frozenBlocks ?? 0;
          progress.addFrozen(check.frozen, t);
          progress.addFrozenBlocks(newlyFrozenBlocks, t);
          optimizer.drop(check.frozen);
          optimizer.drop(schedule.frozenBlocks?.().parameters ?? []);
          // What freezes at a step takes part in it, and is gone from the next one.
          const compileSeconds = check.frozen.length > 0 || newlyFrozenBlocks > 0 ? await step.compileAgain() : 0;
          await options.onFreezingCheck?.({ ...check, compileSeconds });
        }
        await options.onStep?.({
          kind: "step",
          step: t,
          epoch: progress.step / perEpoch,
          loss,
          learningRate: settings.learningRate * factor,
          gradientNorm,
          trainable,
          frozen: progress.frozenCount,
          ...(frozenBlocks !== undefined && { frozenBlocks }),
          seconds,
          tokens,
        });
        if (options.checkpointIsDue?.(progress.step)) await checkpoint();
        if (evaluationIsDue() && !(await takeEvaluation())) break;
      }
    }

    const aborted = !finished();
    // Before its first evaluation a run has not begun.
    if (aborted && (resume || saved !== undefined) && saved !== progress.step) await checkpoint();
    const state = stateNow();
    return {
      state,
      best: progress.best,
      last: progress.last,
      trainable: {
        start: state.trainableAtStart,
        average: progress.trainableAverage,
        end: parameters.count(),
        head: parameters.headCount,
      },
      kept: boundaryStates?.largest ?? { memory: 0, file: 0 },
      aborted,
      notes: aborted
        ? []
        : [...(boundaryStates?.note ? [boundaryStates.note] : []), ...learningNotes(evaluations, saysTheSame)],
    };
  } finally {
    await step.release();
    await boundaryStates?.release();
    await evaluator?.release();
  }
}

/** How hidden states of frozen blocks are kept, in how many bytes of memory at most, and whether what is beyond may go to a file. */
export function keptStates({
  freezeBlocksCache: format = BLOCK_CACHE.format,
  freezeBlocksMemory = BLOCK_CACHE.memory,
}: TrainingSettings): { format: PackedFormat; memory: number; spills: boolean } {
  if (format === "none") return { format: "float32", memory: 0, spills: false };
  return { format, memory: freezeBlocksMemory * 1e6, spills: true };
}

/** Batches whose hidden states are computed together, where blocks have frozen. */
const AHEAD = 7;

const ADVICE = "lower the learning rate";

/** What a promise gives; undefined where it fails because of the signal. */
async function unlessAborted<Value>(
  promise: Promise<Value>,
  signal: AbortSignal | undefined,
): Promise<Value | undefined> {
  try {
    return await promise;
  } catch (error) {
    if (signal?.aborted && error === signal.reason) return undefined;
    throw error;
  }
}

/** @param gradients of this norm: those that make it not finite have values that are not either */
function refuseIfNotFinite(
  { loss, gradientNorm }: { loss: number; gradientNorm: number },
  gradients: Tensors<"float32">,
  where: string,
): void {
  if (!Number.isFinite(loss)) throw new UserError(`the loss is ${loss} at ${where}; ${ADVICE}`);
  if (Number.isFinite(gradientNorm)) return;
  const of = [...gradients].find(([, { data }]) => data.some((value) => !Number.isFinite(value)))?.[0];
  throw new UserError(
    `the norm of the gradient is ${gradientNorm} at ${where}${of ? `, for one of ${of}` : ""}; ${ADVICE}`,
  );
}
