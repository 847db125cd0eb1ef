import { UserError } from "../errors.ts";
import { copyOf, type Tensors } from "../graph/tensor.ts";
import type { MethodState } from "../methods/method.ts";
import { traceModel } from "../models/trace.ts";
import type { Runtime } from "../runtime/session.ts";
import type { TaskData } from "../tasks/example.ts";
import type { TrainingExample } from "../tasks/task-kind.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import { AdamW, type AdamWState, type ParameterGroup } from "./adamw.ts";
import { epochOrder } from "./batch-order.ts";
import { type EncodedSplit, evaluate } from "./evaluate.ts";
import { EvaluationLoss } from "./evaluation-loss.ts";
import { clipGradients } from "./gradient-norm.ts";
import { learningRateFactor } from "./learning-rate.ts";
import { Predictor } from "./predictor.ts";
import type { EvaluationRecord, FreezingRecord, StepRecord } from "./records.ts";
import { TrainingStep } from "./step.ts";
import type { AdaptedModel } from "./step-graph.ts";

export interface TrainingSettings {
  epochs: number;
  /** Examples of one optimizer step. */
  batchSize: number;
  /** Most tokens of a micro-batch, padding included. */
  tokenBudget: number;
  /** Peak learning rate of the method's parameters. */
  learningRate: number;
  /** Peak learning rate of the head. */
  headLearningRate: number;
  weightDecay: number;
  /** Share of all steps over which the learning rates rise. */
  warmupRatio: number;
  /** Global norm to which a step's gradients are clipped. */
  maxGradNorm: number;
  /** Of the order of examples and the dropout masks. */
  seed: number;
  /** Stop after this many epochs without a better evaluation. */
  patience?: number | undefined;
  /** Dropout as the model's configuration says. */
  dropout: boolean;
}

/** Everything that a run needs to go on from between two steps exactly as if it had not stopped. */
export interface TrainingState {
  /** Optimizer steps done. */
  step: number;
  tokens: number;
  flops: number;
  /** Trainable parameters before the first step. */
  trainableAtStart: number;
  /** Sum over steps of the trainable parameters. */
  trainableSum: number;
  /** Wall-clock seconds so far. */
  seconds: number;
  stepSeconds: number[];
  evaluations: EvaluationRecord[];
  frozenAtStep: Record<string, number>;
  /** Copies, as those of the best epoch. */
  parameters: Tensors<"float32">;
  best?: { epoch: number; parameters: Tensors<"float32"> };
  optimizer: AdamWState;
  method?: MethodState | undefined;
}

export interface TrainOptions {
  model: AdaptedModel;
  /** The model's weights and the method's parameters by name; what trains is changed in place. */
  weights: Tensors<"float32">;
  task: Pick<TaskData, "kind" | "labels" | "metrics">;
  train: readonly TrainingExample[];
  validation: readonly EncodedSplit[];
  settings: TrainingSettings;
  padTokenId: number;
  runtime: Runtime;
  onStep?(record: StepRecord): void | Promise<void>;
  onFreezingCheck?(record: FreezingRecord): void | Promise<void>;
  onEvaluation?(record: EvaluationRecord): void | Promise<void>;
  /** Called at the end of each epoch and where the run is aborted: save it, and the run can go on from it. */
  onCheckpoint?(state: TrainingState): void | Promise<void>;
  /** Aborting ends the run after the step at hand. */
  signal?: AbortSignal | undefined;
  /** Where to go on from. The method must have been made with its state too. */
  resume?: TrainingState | undefined;
}

export interface TrainOutcome {
  state: TrainingState;
  /** The best epoch by the task's first metric; undefined where no epoch was finished. */
  best: EvaluationRecord | undefined;
  last: EvaluationRecord | undefined;
  trainable: { start: number; average: number; end: number; head: number };
  /** Whether the signal ended the run. */
  aborted: boolean;
}

/** Steps of one epoch, the partial last batch included. */
export const stepsPerEpoch = (examples: number, batchSize: number): number => Math.ceil(examples / batchSize);

/** Names of the model's own weights: the head's, those of them that train, and the backbone's where it trains. */
interface OwnWeights {
  head: ReadonlySet<string>;
  trainedHead: readonly string[];
  trainedBackbone: readonly string[];
}

function ownWeights(model: AdaptedModel): OwnWeights {
  const specs = [...traceModel(model, model.labelCount, model.head).weights.values()];
  const namesOf = (part: "head" | "backbone"): string[] => specs.filter((s) => s.part === part).map(({ name }) => name);
  return {
    head: new Set(namesOf("head")),
    trainedHead: namesOf("head").filter((name) => model.trainsHead(name)),
    trainedBackbone: model.method.trainsBackbone ? namesOf("backbone") : [],
  };
}

/** AdamW's groups: the head has a learning rate of its own; biases, normalisations and what a method exempts do not decay. */
function parameterGroups({ method }: AdaptedModel, own: OwnWeights, settings: TrainingSettings): ParameterGroup[] {
  const { learningRate, headLearningRate, weightDecay } = settings;
  const decays = (name: string) => !/(bias|norm\w*\.weight)$/i.test(name);
  const group = (names: string[], rate: number, decay: boolean): ParameterGroup => ({
    names,
    learningRate: rate,
    weightDecay: decay ? weightDecay : 0,
  });
  return [true, false].flatMap((decay) => [
    group(
      [
        ...method.parameters.filter((parameter) => parameter.decays === decay).map(({ name }) => name),
        ...own.trainedBackbone.filter((name) => decays(name) === decay),
      ],
      learningRate,
      decay,
    ),
    group(
      own.trainedHead.filter((name) => decays(name) === decay),
      headLearningRate,
      decay,
    ),
  ]);
}

/**
 * Fine-tunes `model` on `train` with AdamW, evaluating after each epoch.
 * The same options give the same numbers, to the bit, whether the run is cut off and resumed or not.
 * @throws UserError where the loss or a gradient is not finite, naming step and batch.
 */
export async function train(options: TrainOptions): Promise<TrainOutcome> {
  const { model, weights, task, settings, runtime, padTokenId, signal } = options;
  const { method } = model;
  const { batchSize, epochs, patience } = settings;
  const perEpoch = stepsPerEpoch(options.train.length, batchSize);
  const totalSteps = epochs * perEpoch;
  const { objective, metrics } = findTaskKind(task.kind);
  const stepSettings = { objective, padTokenId, ...settings };
  const own = ownWeights(model);
  const trained = [...method.parameters.map(({ name }) => name), ...own.trainedHead, ...own.trainedBackbone];

  const optimizer = new AdamW(parameterGroups(model, own, settings), options.resume?.optimizer);
  const state: TrainingState = options.resume ?? {
    step: 0,
    tokens: 0,
    flops: 0,
    trainableAtStart: 0,
    trainableSum: 0,
    seconds: 0,
    stepSeconds: [],
    evaluations: [],
    frozenAtStep: {},
    parameters: new Map(),
    optimizer: optimizer.state(),
  };
  for (const [name, values] of state.parameters) weights.get(name)!.data.set(values.data);

  const copyTrained = (): Tensors<"float32"> => new Map(trained.map((name) => [name, copyOf(weights.get(name)!)]));
  const sizeOfAll = (names: readonly string[]): number =>
    names.reduce((sum, name) => sum + weights.get(name)!.data.length, 0);
  const countTrainable = (gradients?: Tensors<"float32">): number => {
    if (method.countTrainable) return method.countTrainable(weights);
    const names = gradients?.keys() ?? (method.trainsBackbone ? trained : method.trainable());
    return sizeOfAll([...names].filter((name) => !own.head.has(name)));
  };
  const mainMetric = ({ metrics }: EvaluationRecord): number => Object.values(metrics)[0]!;
  const { higherIsBetter } = metrics[task.metrics[0]!]!;
  const isBetter = (a: number, b: number): boolean => (higherIsBetter ? a > b : a < b);
  const bestEvaluation = (): EvaluationRecord | undefined =>
    state.evaluations.find(({ epoch }) => epoch === state.best?.epoch);

  const started = performance.now() - state.seconds * 1000;
  const checkpoint = async (): Promise<void> => {
    state.seconds = (performance.now() - started) / 1000;
    state.parameters = copyTrained();
    state.optimizer = optimizer.state();
    state.method = method.state?.();
    await options.onCheckpoint?.(state);
  };
  if (!options.resume) state.trainableAtStart = countTrainable();
  let step = await TrainingStep.compile(model, weights, runtime, stepSettings);
  const predictor = await Predictor.compile(model, weights, runtime, padTokenId);
  const evaluationLoss = await EvaluationLoss.compile(objective, model.labelCount, runtime);
  const finished = (): boolean => {
    const best = state.best?.epoch ?? 0;
    const epochsDone = state.evaluations.length;
    return epochsDone >= epochs || (patience !== undefined && epochsDone - best >= patience && best > 0);
  };

  const evaluateNow = async (epoch: number): Promise<EvaluationRecord> => {
    const record = {
      ...(await evaluate(predictor, evaluationLoss, task, options.validation)),
      step: state.step,
      epoch,
    };
    return { kind: "evaluation", ...record };
  };

  try {
    // Where the run starts from, so that what training gains can be told.
    if (!options.resume) await options.onEvaluation?.(await evaluateNow(0));
    while (!finished() && !signal?.aborted) {
      const epoch = Math.floor(state.step / perEpoch);
      const order = epochOrder(settings.seed, epoch, options.train.length);
      for (let batch = state.step % perEpoch; batch < perEpoch && !signal?.aborted; batch++) {
        const stepStarted = performance.now();
        const t = state.step;
        const examples = [...order.subarray(batch * batchSize, (batch + 1) * batchSize)].map((i) => options.train[i]!);
        const { loss, gradients, tokens, flops } = await step.run(t, examples);
        const trainable = countTrainable(gradients);
        const check = method.observe?.(t, gradients, weights);
        const gradientNorm = clipGradients(gradients, settings.maxGradNorm);
        if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) {
          const what = Number.isFinite(loss) ? `norm of the gradient is ${gradientNorm}` : `loss is ${loss}`;
          throw new UserError(
            `the ${what} at step ${t} (epoch ${epoch + 1}, batch ${batch + 1} of ${perEpoch}); lower the learning rate`,
          );
        }
        const factor = learningRateFactor(t, totalSteps, settings.warmupRatio);
        optimizer.step(weights, gradients, factor);
        method.afterStep?.(t, gradients, weights);

        state.step++;
        state.tokens += tokens;
        state.flops += flops;
        state.trainableSum += trainable;
        const seconds = (performance.now() - stepStarted) / 1000;
        state.stepSeconds.push(seconds);
        if (check) {
          for (const name of check.frozen) state.frozenAtStep[name] = t;
          if (check.frozen.length > 0) {
            optimizer.drop(check.frozen);
            await step.release();
            step = await TrainingStep.compile(model, weights, runtime, stepSettings);
          }
          await options.onFreezingCheck?.({
            ...check,
            compileSeconds: check.frozen.length > 0 ? step.compileSeconds : 0,
          });
        }
        await options.onStep?.({
          kind: "step",
          step: t,
          epoch: state.step / perEpoch,
          loss,
          learningRate: settings.learningRate * factor,
          gradientNorm,
          trainable,
          frozen: Object.keys(state.frozenAtStep).length,
          seconds,
          tokens,
        });
      }
      if (state.step % perEpoch !== 0) break;
      const evaluation = await evaluateNow(epoch + 1);
      const best = bestEvaluation();
      state.evaluations.push(evaluation);
      if (!best || isBetter(mainMetric(evaluation), mainMetric(best))) {
        state.best = { epoch: epoch + 1, parameters: copyTrained() };
      }
      await options.onEvaluation?.(evaluation);
      await checkpoint();
    }
    const aborted = !finished();
    // At the end of an epoch there is one already.
    if (aborted && (state.step === 0 || state.step % perEpoch !== 0)) await checkpoint();
    state.seconds = (performance.now() - started) / 1000;
    return {
      state,
      best: bestEvaluation(),
      last: state.evaluations.at(-1),
      trainable: {
        start: state.trainableAtStart,
        average: state.step ? state.trainableSum / state.step : state.trainableAtStart,
        end: countTrainable(),
        head: sizeOfAll(own.trainedHead),
      },
      aborted,
    };
  } finally {
    await step.release();
    await predictor.release();
    await evaluationLoss.release();
  }
}
