import { UserError } from "../errors.ts";
import { copyOf, type Tensor } from "../graph/tensor.ts";
import type { Schedule } from "../methods/method.ts";
import { findMethod } from "../methods/methods.ts";
import type { Adapter, AdapterDescription } from "../model/adapter.ts";
import type { BaseModel } from "../model/base-model.ts";
import { fitAdapter, initialParameters, layerWeights } from "../model/fitted-adapter.ts";
import type { WeightSpec } from "../models/model-parts.ts";
import type { Runtime } from "../runtime/session.ts";
import type { EvaluationSplit, TaskData } from "../tasks/example.ts";
import { trainingExamples } from "../tasks/examples.ts";
import { classWeightsOf } from "../tasks/losses/class-weights.ts";
import type { Reward } from "../tasks/reward-functions.ts";
import type { TrainingExample } from "../tasks/task-kind.ts";
import { cooledTask, findTaskKind, objectiveOf, withTaskOptions } from "../tasks/task-kinds.ts";
import { stepsPerEpoch } from "../training/batches/batch-order.ts";
import { sizeOf } from "../training/batches/micro-batches.ts";
import { singleTexts } from "../training/batches/single-texts.ts";
import { type Calibration, calibrate, cooled } from "../training/calibration/calibrate.ts";
import { type EncodedSplit, type Evaluation, Evaluator } from "../training/evaluation/evaluate.ts";
import type { TrainingEnd, TrainingEvent } from "../training/events.ts";
import { scaledBy } from "../training/linear-head/linear-head.ts";
import { localStepsNotes } from "../training/local-steps/local-steps.ts";
import { train } from "../training/loop.ts";
import { estimateMemory, type MemoryEstimate } from "../training/memory-estimate.ts";
import { learnNovelty } from "../training/novelty/novelty.ts";
import { isAllZero } from "../training/optimizer/learning-rate.ts";
import { type ReferenceOptions, withReference } from "../training/prediction/reference.ts";
import type { AdaptedModel } from "../training/step-graph.ts";
import { type TimedStep, timeStep } from "../training/step-time.ts";
import type { Contrast, TrainOptions } from "../training/train-options.ts";
import type { TrainingState } from "../training/training-state.ts";
import { cutNotes, textLength, withoutEmpty } from "./long-examples.ts";
import { runSchedule } from "./run-schedule.ts";
import { AnswerRollout, checkRollout, longestAnswers } from "./stages/answer-rollout.ts";
import { contrastOf } from "./stages/contrast.ts";
import type { Start } from "./start-from-adapter.ts";
import { headTrains } from "./trained-head.ts";
import type { FineTuningSettings, MethodChoice } from "./training-options.ts";

/** What to fine-tune on what, and how. */
export interface FineTuningPlan {
  /** With a head for the task. */
  base: BaseModel;
  task: TaskData;
  method: MethodChoice;
  settings: FineTuningSettings;
  /** An adapter to go on from. */
  start?: Start | undefined;
  /** A state of this very plan to go on from. */
  resume?: TrainingState | undefined;
  /** What scores answers, of kinds that learn from rewards. */
  reward?: Reward | undefined;
}

/** How a run is ended, and where its hidden states go. */
export type TrainControl = Pick<TrainOptions, "openSpill" | "stopAfter" | "timeUp" | "signal" | "machines">;

const NOTHING_TRAINS =
  "nothing will train: the run has one step, and warm-up gives it learning rate 0; give more epochs, a smaller batchSize or warmupRatio 0";

/** What training was seen to take of what is expected, at most: ONNX Runtime leaves gaps, and garbage stands for a while. */
const MARGIN = 1.25;

/** A base model, an adaptation of it and a task's examples, ready to train. */
export class FineTuning {
  readonly totalSteps: number;
  /** Names of the parameters that a schedule may freeze. */
  readonly freezable: readonly string[];
  /** Number of the model's blocks, where they may freeze; else 0. */
  readonly blockCount: number;
  /** Share of its steps' work that is left on average, as far as the schedule knows before it begins. */
  readonly workLeft: number;
  /** What the user should know before it trains. */
  readonly notes: readonly string[];
  /** The first training example as the model reads it, of kinds that learn to write: what of it counts for the loss. */
  readonly sample: readonly { text: string; counts: boolean }[] | undefined;
  readonly #plan: FineTuningPlan;
  #tokenBudget: number;
  #estimate: ((tokenBudget: number) => MemoryEstimate) | undefined;
  readonly #model: AdaptedModel;
  readonly #schedule: Schedule;
  readonly #weights: ReadonlyMap<string, Tensor<"float32">>;
  /** What the method's parameters, and a start's head, are before training. */
  readonly #initial: ReadonlyMap<string, Tensor<"float32">>;
  /** Parts of the head that are not the checkpoint's, so that the adapter must hold them. */
  readonly #ownHead: readonly WeightSpec[];
  readonly #maxLength: number;
  #train: readonly TrainingExample[];
  #validation: readonly EncodedSplit[];
  readonly #contrast: Contrast | undefined;

  /**
   * @throws UserError where the method's options fit neither the model nor so short a run, the method trains a base that
   * is not float32, or the task has no classes.
   */
  constructor(plan: FineTuningPlan) {
    const { base, method, settings, start, resume } = plan;
    const { tokenizer } = base;
    const task = withTaskOptions(plan.task, settings.taskOptions, base.config);
    const kind = findTaskKind(task.kind);
    this.#plan = { ...plan, task };
    this.#tokenBudget = settings.tokenBudget;
    this.#maxLength = textLength(base, settings);
    const encode = (split: EvaluationSplit, classWeights?: readonly number[]): EncodedSplit => {
      const encoded = trainingExamples(task, split.examples, tokenizer, this.#maxLength, classWeights);
      return withoutEmpty({ ...split, encoded }, `with --max-length ${this.#maxLength}`);
    };
    const train = encode({ name: "training", examples: task.train }, classWeightsOf(kind, task));
    this.#train = train.encoded;
    this.#validation = task.validation.map((split) => encode(split));
    this.sample = kind.countedParts?.(this.#train[0]!, tokenizer);
    const perEpoch = stepsPerEpoch(this.#train.length, settings.batchSize);
    this.totalSteps = perEpoch * settings.epochs;
    const adaptation = findMethod(method.name).adapt(method.options, base.trace.modules);
    if (adaptation.trainsBackbone && base.format !== "float32") {
      throw new UserError(
        `method "${method.name}" trains the base model itself, which needs --base float32, not ${base.format}`,
      );
    }
    this.freezable = adaptation.freezable ?? [];
    const newWeights = start?.newWeights ?? base.newWeights;
    this.#ownHead = [...newWeights, ...(start?.brought ?? [])];
    const trainsHead = headTrains(settings.head, { trace: base.trace, newWeights: [...this.#ownHead] });
    this.#model = { ...base, adaptation, trainsHead };
    const schedule = runSchedule(
      method,
      { model: this.#model, trace: base.trace, settings },
      { totalSteps: this.totalSteps, stepsPerEpoch: perEpoch },
      resume?.method,
    );
    this.#schedule = schedule.schedule;
    this.blockCount = schedule.blocks;
    checkRollout(kind, plan.reward, schedule.blocks);
    this.#contrast = settings.contrastive ? contrastOf(this.#model, { task, ...train }, settings) : undefined;
    this.workLeft = schedule.schedule.workLeft ?? 1;
    this.notes = [
      ...cutNotes(task.train.length, train, this.#maxLength),
      ...(this.totalSteps > 0 && isAllZero(this.totalSteps, settings) ? [NOTHING_TRAINS] : []),
      ...localStepsNotes(settings, this.#schedule, plan.reward !== undefined),
      ...(this.#schedule.note === undefined ? [] : [this.#schedule.note]),
      ...(kind.notesOf?.(task.train, train.encoded, task.options ?? {}) ?? []),
    ];

    this.#initial = start?.parameters ?? initialParameters(adaptation, settings.seed, layerWeights(base));
    // Training changes these in place.
    const begun = [...this.#initial].map(([name, values]) => [name, copyOf(values)] as const);
    this.#weights = new Map([...base.weights, ...begun]);
  }

  /**
   * Takes down what the model gives of each example before training, where the task's loss compares with that. To be called before
   * training, also of a run that goes on: it is what the run began with.
   * @throws the signal's reason
   */
  async takeReference(runtime: Runtime, options: Omit<ReferenceOptions, "tokenBudget"> = {}): Promise<void> {
    // Of what is not written yet nothing can be taken down.
    if (this.#plan.reward) return;
    const { weights, validation } = this.#training;
    const started = { model: this.#model, weights, runtime };
    const referred = await this.#referred([{ encoded: this.#train }, ...validation], started, options);
    this.#train = referred[0]!;
    this.#validation = this.#validation.map((split, i) => ({ ...split, encoded: referred[i + 1]! }));
  }

  /** Splits' examples with what a model gives before training, where the task's loss compares with that. */
  async #referred(
    splits: readonly Pick<EncodedSplit, "encoded">[],
    started: Parameters<typeof withReference>[2],
    options: Omit<ReferenceOptions, "tokenBudget">,
  ): Promise<TrainingExample[][]> {
    const all = splits.flatMap(({ encoded }) => encoded);
    const objective = objectiveOf(this.#plan.task);
    const referred = await withReference(objective, all, started, { ...options, tokenBudget: this.#tokenBudget });
    let end = 0;
    return splits.map(({ encoded }) => {
      end += encoded.length;
      return referred.slice(end - encoded.length, end);
    });
  }

  /** Most tokens of a micro-batch: what the settings say, or fewer where that would not fit. */
  get tokenBudget(): number {
    return this.#tokenBudget;
  }

  /** What training is expected to take, of which the weights are there already. */
  get memory(): MemoryEstimate {
    this.#estimate ??= estimateMemory(this.#longest);
    return this.#estimate(this.#tokenBudget);
  }

  /** The same for a step as the schedule has it now: after training, of what trained last. */
  get memoryNow(): MemoryEstimate {
    return estimateMemory(this.#longest)(this.#tokenBudget);
  }

  /** What is trained on; where that is not written yet, as long as it may become. */
  get #longest(): Omit<TrainOptions, "runtime"> {
    const training = this.#training;
    return { ...training, train: longestAnswers(training) ?? training.train };
  }

  /**
   * Cuts micro-batches smaller until training is expected to fit, down to one text.
   * @param available bytes beside what is in memory already
   * @returns whether it does
   */
  fitMemory(available: number): boolean {
    const longest = singleTexts(this.#longest.train).reduce((most, text) => Math.max(most, sizeOf(text).tokens), 1);
    const fits = (): boolean => {
      const { optimizer, activations, hiddenStates = 0 } = this.memory;
      return MARGIN * (optimizer + activations) + hiddenStates <= available;
    };
    while (!fits() && this.#tokenBudget > longest) {
      this.#tokenBudget = Math.max(longest, Math.floor(this.#tokenBudget / 2));
    }
    return fits();
  }

  /** Trains, and tells what happens. @throws UserError where the loss or a gradient is not finite. */
  train(runtime: Runtime, control: TrainControl = {}): AsyncGenerator<TrainingEvent, void> {
    const training = { ...this.#training, runtime };
    return train({ ...control, ...training, rollout: AnswerRollout.of(this.#plan, training) });
  }

  /** A first step on a runtime, timed; nothing is changed. @throws UserError where its device cannot be used. */
  timeStep(runtime: Runtime): Promise<TimedStep> {
    return timeStep(this.#training, runtime);
  }

  get #training(): Omit<TrainOptions, "runtime"> {
    const { task, settings, resume } = this.#plan;
    return {
      model: this.#model,
      schedule: this.#schedule,
      weights: new Map<string, Tensor>([...this.#weights, ...this.#plan.base.quantized]),
      task,
      train: this.#train,
      validation: this.#validation,
      settings: { ...settings, tokenBudget: this.#tokenBudget },
      contrast: this.#contrast,
      startCounts: this.#startCounts,
      resume,
    };
  }

  /** Whether the run has a model from its start on, which training must beat: nothing of it is new, or its head was fitted. */
  get #startCounts(): boolean {
    const { base, start } = this.#plan;
    return this.#startsFitted || (start ?? base).newWeights.length === 0;
  }

  get #startsFitted(): boolean {
    const { task, settings, start } = this.#plan;
    return !start && settings.headStart === "fitted" && objectiveOf(task).linearLoss !== undefined;
  }

  /** How an adapter does on the validation examples beside `base`, the plan's model in another format. */
  async evaluateOn(base: BaseModel, adapter: Adapter, runtime: Runtime, signal?: AbortSignal): Promise<Evaluation> {
    const { task, settings, validation } = this.#training;
    const model = { ...this.#model, format: base.format };
    const { parameters } = fitAdapter(base, adapter);
    const weights = new Map<string, Tensor>([...base.weights, ...base.quantized, ...parameters]);
    const rollout = AnswerRollout.of(this.#plan, { ...this.#training, model, weights, runtime });
    if (rollout) return rollout.evaluate(validation, signal).finally(() => rollout.release());
    const untrained = new Map<string, Tensor>([...base.weights, ...base.quantized, ...this.#initial]);
    const referred = await this.#referred(validation, { model, weights: untrained, runtime }, { signal });
    const evaluator = await Evaluator.compile(model, weights, runtime, task, settings);
    try {
      const splits = validation.map((split, i) => ({ ...split, encoded: referred[i]! }));
      return await evaluator.evaluate(splits, signal);
    } finally {
      await evaluator.release();
    }
  }

  /**
   * The best epoch's adapter. Where it has a head that gives probabilities of labels, its last layer is divided by the temperature
   * that suits the validation examples: whatever answers with it, in whatever format, answers with probabilities that hold.
   */
  async bestAdapter(
    end: TrainingEnd,
    runtime: Runtime,
    signal?: AbortSignal,
  ): Promise<{ adapter: Adapter; calibration?: Calibration }> {
    const { task, weights, validation, settings } = this.#training;
    const adapter = this.#uncalibrated(end);
    const { classifier } = this.#plan.base.trace;
    const { linearLoss: loss = "squared" } = objectiveOf(task);
    const hasLayer = classifier !== undefined && adapter.parameters.has(`${classifier}.weight`);
    if (task.labels.length === 0 || loss === "squared" || !hasLayer) return { adapter };
    const all = new Map([...weights, ...adapter.parameters]);
    const examples = validation.flatMap(({ encoded }) => encoded);
    const { tokenBudget } = settings;
    // Cross-validation has scaled a fitted head's outputs by more rows of the same data than are held out; where classes weigh, not alike.
    const rows = this.#train.reduce((sum, { weights: own }) => sum + own.length, 0);
    const isKept = this.#startsFitted && end.best?.step === 0;
    const isAlike = this.#plan.task.heldOut && !classWeightsOf(findTaskKind(task.kind), this.#plan.task);
    const [outputs, width] = adapter.parameters.get(`${classifier}.weight`)!.shape as [number, number];
    const known = isKept && isAlike ? scaledBy({ rows, width, outputs }) : 0;
    const calibration = await calibrate(this.#model, all, runtime, examples, { loss, known, tokenBudget, signal });
    const { temperature, steps } = calibration;
    // A choice of one class may be left open where it is not sure enough.
    const choosesOne = loss === "softmax" && this.#plan.base.head === "sequence";
    const parameters = cooled(adapter.parameters, classifier, temperature);
    const split = { train: this.#train, held: examples };
    const answering = new Map([...weights, ...parameters]);
    const novelty = choosesOne
      ? await learnNovelty(this.#model, answering, runtime, split, { tokenBudget, signal })
      : undefined;
    const described = cooledTask(adapter.description.task, temperature);
    const confidence = choosesOne && { confidence: steps };
    const description = { ...adapter.description, task: described, temperature, ...confidence };
    return { adapter: { description, parameters, novelty }, calibration };
  }

  /** What its adapters are for, and how their layers are computed. */
  get description(): AdapterDescription {
    const { base, method, task } = this.#plan;
    const { name, kind, labels, metrics, features, options } = task;
    return {
      format: "aflora-adapter",
      model: base.name,
      ...(base.revision && { revision: base.revision }),
      modelType: base.config.modelType,
      ...(base.format !== "float32" && { base: base.format }),
      method: method.name,
      methodOptions: method.options,
      task: { name, kind, labels, metrics, ...(features && { features }), ...(options && { options }) },
      maxLength: this.#maxLength,
    };
  }

  /** The method's parameters, what of the head or the backbone trained, and what the checkpoint lacks. */
  #uncalibrated({ state }: TrainingEnd): Adapter {
    const best = state.best!.parameters;
    const untrained = this.#ownHead.filter(({ name }) => !best.has(name));
    return {
      description: this.description,
      parameters: new Map([
        ...best,
        ...untrained.map((weight) => [weight.name, this.#weights.get(weight.name)!] as const),
      ]),
    };
  }
}
