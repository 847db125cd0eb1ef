import type { Adapter, AdapterDescription } from "../base-models/adapter.ts";
import { opt, UserError } from "../errors.ts";
import { copyOf, type Tensor } from "../graph/tensor.ts";
import type { Schedule } from "../methods/method.ts";
import type { Runtime } from "../runtime/session.ts";
import { chanceLoss } from "../tasks/chance-loss.ts";
import { findTaskKind, objectiveOf } from "../tasks/task-kinds.ts";
import { runLength } from "../training/batches/batch-order.ts";
import { exampleSize } from "../training/batches/micro-batches.ts";
import { singleTexts } from "../training/batches/single-texts.ts";
import type { TrainingEnd, TrainingEvent } from "../training/events.ts";
import { localStepsNotes } from "../training/local-steps/local-steps.ts";
import { train } from "../training/loop.ts";
import { estimateMemory, type MemoryEstimate, type MemoryOptions } from "../training/memory-estimate.ts";
import { isAllZero } from "../training/optimizer/learning-rate.ts";
import { type TimedStep, timeStep } from "../training/step-time.ts";
import type { TrainOptions } from "../training/train-options.ts";
import { adaptedModel, adaptedWeights, ownHead } from "./adapted-run.ts";
import { canFitHead, type RunPlan } from "./run-plan.ts";
import { runSchedule } from "./run-schedule.ts";
import { AnswerRollout, checkRollout, longestAnswers } from "./stages/answer-rollout.ts";

/** How a run ends, and where it keeps hidden states that do not fit into memory. */
export type TrainControl = Pick<TrainOptions, "openSpill" | "stopAfter" | "timeUp" | "signal" | "machines">;

const NOTHING_TRAINS =
  "nothing will train: the run has one step, and warm-up gives it learning rate 0; give more epochs, a smaller batchSize or warmupRatio 0";

const NOTHING_TO_FIT = `${opt("epochs")} 0 only fits a head, and this run's head starts from random values; give more epochs`;

/** Largest observed ratio of memory used to the estimate: ONNX Runtime leaves gaps, and garbage is collected late. */
const MARGIN = 1.25;

export class FineTuning {
  readonly totalSteps: number;
  /** Names of the parameters that a schedule may freeze. */
  readonly freezable: readonly string[];
  /** Number of the model's blocks if they may freeze, otherwise 0. */
  readonly blockCount: number;
  /** Average share of a step's work that is left, as far as the schedule knows before training. */
  readonly workLeft: number;
  readonly notes: readonly string[];
  /** The first training example as the model reads it, for kinds that learn to write, with the parts that count for the loss. */
  readonly sample: readonly { text: string; counts: boolean }[] | undefined;
  readonly #model: ReturnType<typeof adaptedModel>;
  readonly #schedule: Schedule;
  readonly #chanceLoss: number | undefined;
  /** The base's weights and copies of the method's first parameters, which training changes in place. */
  readonly #weights: ReadonlyMap<string, Tensor>;
  #tokenBudget: number;
  #estimate: ((tokenBudget: number) => MemoryEstimate) | undefined;

  constructor(private readonly plan: RunPlan) {
    const { base, encoded, method, settings, resume, reward } = plan;
    const { task, train, sample } = encoded;
    const kind = findTaskKind(task.kind);
    this.#model = adaptedModel(plan);
    this.#tokenBudget = settings.tokenBudget;
    this.sample = kind.writing?.countedParts?.(sample.encoded[0]!, base.tokenizer);
    const length = runLength(settings, train.encoded.length);
    this.totalSteps = length.totalSteps;
    if (this.totalSteps === 0 && !this.#startCounts) {
      const canFit = !plan.start && objectiveOf(task).linearLoss !== undefined;
      throw new UserError(`${NOTHING_TO_FIT}${canFit ? `, or ${opt("headStart")} fitted` : ""}`);
    }
    this.freezable = this.#model.adaptation.freezable ?? [];
    const { schedule, blocks } = runSchedule(method, { model: this.#model, settings }, length, resume?.method);
    this.#schedule = schedule;
    // On pictures of digits, the trained model was worse than the fitted head (docs/pictures.md).
    this.#chanceLoss = this.startsFitted && !kind.reads ? chanceLoss(task, sample.examples) : undefined;
    this.blockCount = blocks;
    checkRollout(kind, reward, blocks);
    this.workLeft = schedule.workLeft ?? 1;
    this.notes = [
      ...encoded.notes,
      ...(this.totalSteps > 0 && isAllZero(this.totalSteps, settings) ? [NOTHING_TRAINS] : []),
      ...localStepsNotes(settings, schedule, reward !== undefined),
      ...(schedule.note === undefined ? [] : [schedule.note]),
      ...(kind.notesOf?.(sample.examples, sample.encoded, task.options ?? {}) ?? []),
    ];
    const begun = new Map([...plan.initial].map(([name, values]) => [name, copyOf(values)] as const));
    this.#weights = adaptedWeights(base, begun);
  }

  /** Limit on tokens per micro-batch: the setting, or less if that does not fit into memory. */
  get tokenBudget(): number {
    return this.#tokenBudget;
  }

  /** Expected memory of training; the weights are in memory already. */
  get memory(): MemoryEstimate {
    this.#estimate ??= estimateMemory(this.#longest);
    return this.#estimate(this.#tokenBudget);
  }

  /** Expected memory of the run at its first step, also if it resumes from a later one. */
  get memoryAtStart(): MemoryEstimate {
    const { method, settings } = this.plan;
    const length = runLength(settings, this.plan.encoded.train.encoded.length);
    const { schedule } = runSchedule(method, { model: this.#model, settings }, length);
    return estimateMemory({ ...this.#longest, schedule })(this.#tokenBudget);
  }

  /** Expected memory of a step as the schedule is now: after training, with the parameters that trained last. */
  get memoryNow(): MemoryEstimate {
    return estimateMemory(this.#longest)(this.#tokenBudget);
  }

  /** The training data, with examples of usual lengths; for answers that are not written yet, the longest that may be written. */
  get #longest(): MemoryOptions {
    const { training } = this;
    const sample = this.plan.encoded.sample.encoded;
    return { ...training, sample: longestAnswers({ ...training, train: sample }) ?? sample };
  }

  /**
   * Cuts micro-batches smaller until training is expected to fit, down to one text.
   * @param available free memory in bytes, without that of the weights
   * @returns whether training is expected to fit
   */
  fitMemory(available: number): boolean {
    const longest = singleTexts(this.#longest.sample).reduce(
      (most, text) => Math.max(most, exampleSize(text).tokens),
      1,
    );
    const fits = (): boolean => {
      const { optimizer, activations, hiddenStates = 0 } = this.memory;
      return MARGIN * (optimizer + activations) + hiddenStates <= available;
    };
    while (!fits() && this.#tokenBudget > longest) {
      this.#tokenBudget = Math.max(longest, Math.floor(this.#tokenBudget / 2));
    }
    return fits();
  }

  /** Trains and yields its events. @throws UserError if the loss or a gradient is not finite */
  train(runtime: Runtime, control: TrainControl = {}): AsyncGenerator<TrainingEvent, void> {
    const training = { ...this.training, runtime };
    return train({ ...control, ...training, rollout: this.rollout(training) });
  }

  /** Times a first step on a runtime and changes nothing. @throws UserError if its device cannot be used */
  timeStep(runtime: Runtime): Promise<TimedStep> {
    return timeStep(this.training, runtime);
  }

  /** The model, data and settings of the loop. */
  get training(): Omit<TrainOptions, "runtime"> {
    const { encoded, settings, resume, contrast } = this.plan;
    return {
      model: this.#model,
      schedule: this.#schedule,
      weights: this.#weights,
      task: encoded.task,
      train: encoded.train.encoded,
      validation: encoded.validation,
      settings: { ...settings, tokenBudget: this.#tokenBudget },
      contrast,
      startCounts: this.#startCounts,
      chanceLoss: this.#chanceLoss,
      resume,
    };
  }

  /** The rollout that writes answers to learn from, if the kind learns from rewards. */
  rollout(trained: TrainOptions): AnswerRollout | undefined {
    const { base, encoded, reward } = this.plan;
    return AnswerRollout.of({ base, task: encoded.task, reward }, trained);
  }

  /** Whether the run starts from a usable model, which training must beat: no part of it is new, or its head was fitted. */
  get #startCounts(): boolean {
    const { base, start } = this.plan;
    return this.startsFitted || (start ?? base).newWeights.length === 0;
  }

  /** Whether the run started, in this process or before it was resumed, from a fitted head. */
  get startsFitted(): boolean {
    return !this.plan.start && canFitHead(this.plan);
  }

  /** The adapter of the best epoch: the parameters that trained, and the head's that the checkpoint lacks. */
  adapterOf({ state }: Pick<TrainingEnd, "state">): Adapter {
    const best = state.best!.parameters;
    const untrained = ownHead(this.plan).filter(({ name }) => !best.has(name));
    const head = untrained.map(({ name }) => [name, this.#weights.get(name) as Tensor<"float32">] as const);
    return { description: this.description, parameters: new Map([...best, ...head]) };
  }

  get description(): AdapterDescription {
    const { base, method, encoded } = this.plan;
    const { name, kind, labels, metrics, features, options } = encoded.task;
    return {
      format: "aflora-adapter",
      model: base.name,
      ...(base.revision && { revision: base.revision }),
      modelType: base.config.modelType,
      ...(base.format !== "float32" && { base: base.format }),
      method: method.name,
      methodOptions: method.options,
      task: { name, kind, labels, metrics, ...(features && { features }), ...(options && { options }) },
      maxLength: encoded.maxLength,
    };
  }
}
