import { initialParameters } from "../../src/base-models/fitted-adapter.ts";
import { copyOf, float32, type Tensors } from "../../src/graph/tensor.ts";
import type { Encoding } from "../../src/inputs/tokenizer.ts";
import { type BlockFreezingSettings, withBlockFreezing } from "../../src/methods/block-freezing.ts";
import type { MethodDefinition, MethodState, Schedule } from "../../src/methods/method.ts";
import { parseMethodOptions, scheduleFor } from "../../src/methods/methods.ts";
import type { Example, TaskData } from "../../src/tasks/example.ts";
import type { TrainingExample } from "../../src/tasks/task-kind.ts";
import { runLength } from "../../src/training/batches/batch-order.ts";
import type { TrainingEnd, TrainingEvent } from "../../src/training/events.ts";
import { train } from "../../src/training/loop.ts";
import { type AdaptedModel, trainedByBlock } from "../../src/training/step-graph.ts";
import type { Contrast, TrainingSettings, TrainOptions } from "../../src/training/train-options.ts";
import type { EvaluationRecord, FreezingRecord, StepRecord } from "../../src/training/training-records.ts";
import type { TrainingState } from "../../src/training/training-state.ts";
import { runtime } from "../support/runtime.ts";
import { type Base, layersOf } from "../support/small-bert.ts";

/** A classification task: the token after [CLS] determines the class. Every third example is a pair; lengths differ. */
export const TASK: Pick<TaskData, "kind" | "labels" | "metrics"> = {
  kind: "classification",
  labels: ["a", "b", "c"],
  metrics: ["accuracy"],
};

/** Example number `index`; deterministic. */
export function encodingOf(index: number): Encoding {
  const length = 5 + ((index * 7) % 13);
  const pairFrom = index % 3 === 1 ? 4 : length;
  return {
    inputIds: Int32Array.from({ length }, (_, i) => (i === 1 ? 10 + (index % 3) : 20 + ((index * 31 + i * 17) % 90))),
    tokenTypeIds: Int32Array.from({ length }, (_, i) => (i < pairFrom ? 0 : 1)),
  };
}

export function examplesOf(
  count: number,
  label = (index: number) => index % 3,
): (Example & { label: number } & TrainingExample)[] {
  return Array.from({ length: count }, (_, index) => {
    const targets = float32([1, 3]);
    targets.data[label(index)] = 1;
    return { index, text: "", label: label(index), encoding: encodingOf(index), targets, weights: Float32Array.of(1) };
  });
}

export const SETTINGS: TrainingSettings = {
  epochs: 3,
  batchSize: 6,
  tokenBudget: 40,
  learningRate: 5e-3,
  headLearningRate: 5e-3,
  weightDecay: 0.1,
  warmupRatio: 0.06,
  maxGradNorm: 0.1,
  seed: 7,
  dropout: true,
};

export interface SmallRun extends TrainingEnd {
  /** Kinds of its events, in order. */
  kinds: TrainingEvent["kind"][];
  notes: string[];
  steps: StepRecord[];
  freezing: FreezingRecord[];
  evaluations: EvaluationRecord[];
  /** Final weights. */
  weights: Tensors<"float32">;
}

export interface SmallRunOptions
  extends Partial<
    Pick<
      TrainOptions,
      "train" | "validation" | "task" | "resume" | "openSpill" | "signal" | "timeUp" | "stopAfter" | "machines"
    >
  > {
  options?: Record<string, unknown>;
  settings?: Partial<TrainingSettings>;
  blocks?: BlockFreezingSettings;
  contrast?(model: AdaptedModel): Contrast;
  /** Changes weights before the first step. */
  prepare?(weights: Tensors<"float32">): void;
  onStep?(record: StepRecord, weights: Tensors<"float32">): void;
  onEvaluation?(record: EvaluationRecord): void;
  /** Receives the states that the run wants saved. */
  onCheckpoint?(state: TrainingState): void;
  /** Receives the gradients of a step. */
  onGradients?(step: number, gradients: Tensors<"float32">): void;
}

/** A training run on the small BERT with 20 examples: an epoch has three batches of 6 and one of 2. */
export async function smallRun(
  base: Base,
  definition: MethodDefinition,
  { onStep, onEvaluation, onCheckpoint, ...given }: SmallRunOptions = {},
): Promise<SmallRun> {
  const { events, weights } = smallEvents(base, definition, given);
  const run = { kinds: [], notes: [], steps: [], freezing: [], evaluations: [], weights } as Omit<
    SmallRun,
    keyof TrainingEnd
  >;
  let end: TrainingEnd | undefined;
  for await (const event of events) {
    run.kinds.push(event.kind);
    if (event.kind === "step") {
      run.steps.push(event);
      onStep?.(event, weights);
    } else if (event.kind === "freezing") run.freezing.push(event);
    else if (event.kind === "evaluation") {
      run.evaluations.push(event);
      onEvaluation?.(event);
    } else if (event.kind === "checkpoint" && event.due) onCheckpoint?.(event.state());
    else if (event.kind === "note") run.notes.push(event.text);
    else if (event.kind === "end") end = event;
  }
  return { ...end!, ...run };
}

/** Events of such a run, and the weights that it changes. */
export function smallEvents(
  base: Base,
  definition: MethodDefinition,
  { options = {}, blocks = {}, contrast, prepare, onGradients, ...given }: SmallRunOptions = {},
) {
  const settings = { ...SETTINGS, ...given.settings };
  const examples = given.train ?? examplesOf(20);
  const length = runLength(settings, examples.length);
  const parsed = parseMethodOptions(definition, options);
  const adaptation = definition.adapt(parsed, layersOf(base));
  const model: AdaptedModel = {
    ...base,
    adaptation,
    trainsHead: (name) => name.startsWith("classifier."),
  };
  const own = (state?: MethodState): Schedule => scheduleFor(definition, parsed, adaptation, length, state);
  const ofModel = {
    method: definition.name,
    trained: blocks.freezeBlocks ? trainedByBlock(model) : [],
    freezable: adaptation.freezable ?? [],
  };
  const weights = new Map([...base.weights].map(([name, values]) => [name, copyOf(values)]));
  const weightOf = (module: string) => base.weights.get(`${module}.weight`)!;
  for (const [name, values] of initialParameters(adaptation, 1, weightOf)) weights.set(name, values);
  prepare?.(weights);
  const schedule = withBlockFreezing(own, blocks, ofModel, length, given.resume?.method);
  const watched: Schedule = {
    ...schedule,
    observe(step, gradients, values) {
      onGradients?.(step, gradients);
      return schedule.observe?.(step, gradients, values);
    },
  };
  const held = examplesOf(9);
  const events = train({
    task: TASK,
    validation: [{ name: "validation", examples: held, encoded: held }],
    ...given,
    contrast: contrast?.(model),
    train: examples,
    model,
    schedule: watched,
    weights,
    settings,
    runtime,
  });
  return { events, weights };
}

/** Everything that must be equal in two runs: all except durations. */
export function numbersOf({ steps, freezing, evaluations, weights, state, best, last, trainable }: SmallRun) {
  return {
    steps: steps.map(({ seconds, ...record }) => record),
    freezing: freezing.map(({ compileSeconds, ...record }) => record),
    evaluations,
    best,
    last,
    trainable,
    weights,
    bestParameters: state.best?.parameters,
    totals: [state.step, state.tokens, state.flops, state.frozenAtStep],
  };
}
