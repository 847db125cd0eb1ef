import type { HeadFeatures } from "../../architectures/heads.ts";
import { traceModel } from "../../architectures/trace.ts";
import { float32, type Tensors } from "../../graph/tensor.ts";
import type { Runtime } from "../../runtime/session.ts";
import { Turns } from "../../runtime/turns.ts";
import type { Example, TaskData } from "../../tasks/example.ts";
import { type Scores, scoresOf } from "../../tasks/examples.ts";
import type { LinearLoss } from "../../tasks/losses/objective.ts";
import type { TaskOptionValues, TrainingExample } from "../../tasks/task-kind.ts";
import { findTaskKind } from "../../tasks/task-kinds.ts";
import { Predictor } from "../prediction/predictor.ts";
import { type OnProgress, stageProgress } from "../progress.ts";
import type { AdaptedModel } from "../step-graph.ts";
import { type CrossValidated, comparedRows, crossValidate } from "./cross-validation.ts";
import { type FeatureRows, sparseTargets } from "./feature-rows.ts";
import { type RowGroups, sampleRows } from "./folds.ts";
import { choosePenalty, fitLinear, isWorse, mostRows, rescaled, uncompared } from "./linear-head.ts";
import { LinearSolver } from "./linear-solver.ts";

export interface HeadExamples {
  task: Pick<TaskData, "kind" | "labels" | "metrics" | "options">;
  examples: readonly Example[];
  encoded: readonly TrainingExample[];
}

export interface FittedHead {
  features: HeadFeatures;
  weights: Tensors<"float32">;
  /** λ of its weights, for features that are centred and scaled to a mean square of 1. */
  penalty: number;
  /** Number of examples that the head was fitted to: all, or a part that is enough. */
  fittedTo: number;
  /** Scores of heads on examples that they were not fitted to, by cross-validation; absent if no example could be left out. */
  scores?: Scores | undefined;
  options?: TaskOptionValues | undefined;
}

export interface HeadFitOptions {
  /** Features to choose from: the first unless another is better by more than a standard error. */
  candidates: readonly HeadFeatures[];
  loss: LinearLoss;
  /** λ of the weights (default: chosen by cross-validation). */
  penalty?: number | undefined;
  /** Maximum number of examples that the head is fitted to (default: {@link mostRows}). If there are more, each class gives its share. */
  mostExamples?: number | undefined;
  tokenBudget: number;
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

/**
 * Fits the last layer of a model's head to the model's features: the least penalised loss, which is a logistic regression for classes,
 * one for each of several labels, a ridge regression for numbers, and a regression over all tokens for a head that labels tokens.
 * Cross-validation chooses the features and the penalty, unless the penalty is given. The result does not depend on the order of the
 * examples.
 */
export async function fitHead(
  model: AdaptedModel,
  weights: Tensors,
  runtime: Runtime,
  given: HeadExamples,
  options: HeadFitOptions,
): Promise<FittedHead> {
  const { candidates, loss, penalty, signal, onProgress } = options;
  const onRead = stageProgress(onProgress, "computing the head's features");
  const turns = new Turns(signal);
  const { stratumOf } = findTaskKind(given.task.kind);
  const strata = stratumOf && given.examples.map(stratumOf);
  const { order, compared } = sampledExamples(await orderOf(given.encoded, turns), strata, model, options);
  const comparesAll = compared.length === order.length;
  const of = comparesAll || penalty !== undefined ? order.length : compared.length + order.length;
  let read = 0;
  const rowsOf = async (places: Int32Array, names: readonly HeadFeatures[]): Promise<ExampleRows[]> => {
    await onRead(read, of);
    const predictor = await Predictor.compile(model, weights, runtime, {
      tokenBudget: options.tokenBudget,
      features: names,
    });
    try {
      const encoded = Array.from(places, (place) => given.encoded[place]!);
      const values = await predictor.logits(encoded, undefined, signal, (done) => onRead(read + done, of));
      read += places.length;
      const own = strata && Array.from(places, (place) => strata[place]!);
      const shared = await sharedRows(encoded, model.labelCount, turns);
      return names.map((_, i) => exampleRows(values, shared, own, { part: i, of: names.length }));
    } finally {
      await predictor.release();
    }
  };
  const rows = comparesAll || penalty === undefined ? await rowsOf(compared, candidates) : undefined;
  return LinearSolver.with(runtime, { loss, outputs: model.labelCount, signal }, async (solver) => {
    const { chosen, choice } =
      rows && penalty === undefined
        ? await choose(solver, rows, onProgress)
        : { chosen: 0, choice: uncompared(penalty!) };
    const features = candidates[chosen]!;
    const all = rows && comparesAll ? rows[chosen]! : (await rowsOf(order, [features]))[0]!;
    const onFit = stageProgress(onProgress, "scaling the head's outputs", "fits");
    const scaled = penalty === undefined ? await rescaled(solver, all.rows, choice, all.groups, onFit) : choice;
    const onPass = stageProgress(onProgress, "fitting the head", "passes");
    await onPass(0);
    const { weight, bias } = await fitLinear(solver, all.rows, scaled, all.groups, onPass);
    const { classifier } = traceModel({ ...model, features }, model.labelCount, model.head);
    const shown = Array.from(compared, (place) => ({
      example: given.examples[place]!,
      encoded: given.encoded[place]!,
    }));
    return {
      features,
      weights: new Map([
        [`${classifier}.weight`, float32([all.rows.outputs, all.rows.width], Float32Array.from(weight))],
        [`${classifier}.bias`, float32([all.rows.outputs], Float32Array.from(bias))],
      ]),
      penalty: choice.penalty,
      fittedTo: order.length,
      ...(rows && (await judged(given.task, shown, rows[chosen]!, choice, signal))),
    };
  });
}

function sampledExamples(
  order: Int32Array,
  strata: readonly number[] | undefined,
  { labelCount: outputs, config: { hiddenSize: width } }: AdaptedModel,
  { mostExamples = Number.POSITIVE_INFINITY }: HeadFitOptions,
): { order: Int32Array; compared: Int32Array } {
  const fitted = sampleRows(order, { strata }, Math.min(mostExamples, mostRows({ outputs, width })));
  return { order: fitted, compared: sampleRows(fitted, { strata }, comparedRows(outputs)) };
}

interface ExampleRows {
  rows: FeatureRows;
  groups: RowGroups & { groups: Int32Array };
}

/**
 * Sorts the numbers of the examples by a hash of their content, so that neither the rows that are drawn nor the batches depend on the
 * order of the file.
 */
async function orderOf(encoded: readonly TrainingExample[], turns: Turns): Promise<Int32Array> {
  const hashes = new Float64Array(encoded.length);
  await turns.each(encoded.length, HASHED_NUMBERS, (i) => {
    const { encoding, inputs = {}, targets } = encoded[i]!;
    const others = Object.values(inputs).map(({ key }) => key);
    hashes[i] = hashOf(others.join(), encoding.inputIds, targets.data);
  });
  return turns.sort(Int32Array.from(hashes.keys()), (a, b) => hashes[a]! - hashes[b]!);
}

const HASHED_NUMBERS = 256;

/** A hash of 53 bits of a text and of numbers. */
function hashOf(text: string, ...numbers: ArrayLike<number>[]): number {
  let [high, low] = [0x9e3779b9, 0x85ebca6b];
  const mix = (value: number): void => {
    high = Math.imul(high ^ value, 0x01000193);
    low = Math.imul(low ^ value ^ (high >>> 15), 0x85ebca6b);
    low ^= low >>> 13;
  };
  for (const letter of text) mix(letter.codePointAt(0)!);
  for (const list of numbers) {
    mix(list.length);
    // Targets may be fractions.
    for (let i = 0; i < list.length; i++) mix(Math.round(list[i]! * 65536));
  }
  return (high >>> 0) * 2 ** 21 + (low >>> 11);
}

/** Targets and weights of the rows, which all candidates share, and the example of each row. */
type SharedRows = Pick<FeatureRows, "rows" | "outputs" | "targets" | "weights"> & { groups: Int32Array };

async function sharedRows(encoded: readonly TrainingExample[], outputs: number, turns: Turns): Promise<SharedRows> {
  const rows = encoded.reduce((sum, { weights }) => sum + weights.length, 0);
  const weights = new Float32Array(rows);
  const groups = new Int32Array(rows);
  let row = 0;
  for (const [example, { weights: own }] of encoded.entries()) {
    weights.set(own, row);
    groups.fill(example, row, row + own.length);
    row += own.length;
  }
  const targets = await sparseTargets(targetsOf(encoded), outputs, turns);
  return { rows, outputs, targets, weights, groups };
}

/** Targets of one example after the other: those of thousands of classes would not fit into memory together. */
function* targetsOf(encoded: readonly TrainingExample[]): Generator<ArrayLike<number>> {
  for (const { targets } of encoded) yield targets.data;
}

/** @param values features of each example, `[rows, of * width]`, of which one part is taken */
function exampleRows(
  values: readonly Float32Array[],
  { groups, ...shared }: SharedRows,
  strata: readonly number[] | undefined,
  { part, of }: { part: number; of: number },
): ExampleRows {
  const stride = values.reduce((sum, each) => sum + each.length, 0) / shared.rows;
  const width = stride / of;
  const features = new Float32Array(shared.rows * width);
  let row = 0;
  for (const own of values) {
    for (let start = part * width; start < own.length; start += stride) {
      features.set(own.subarray(start, start + width), row++ * width);
    }
  }
  return {
    rows: { ...shared, width, features },
    groups: { groups, strata: strata && Array.from(groups, (example) => strata[example]!) },
  };
}

/** Chooses the features and the penalty. Other candidates are compared at the penalty of the first. */
async function choose(
  solver: LinearSolver,
  [first, ...others]: readonly ExampleRows[],
  onProgress: HeadFitOptions["onProgress"],
) {
  const onFit = stageProgress(onProgress, "choosing the head's penalty", "fits");
  const own = await choosePenalty(solver, first!.rows, first!.groups, { onFit });
  let best = { chosen: 0, choice: own };
  for (const [i, { rows, groups }] of others.entries()) {
    const onFit = stageProgress(onProgress, "choosing the head's features", "fits");
    const [found] = await crossValidate(solver, rows, groups, { penalties: [own.penalty], onFit });
    if (found && isWorse(best.choice.losses, found.losses)) best = { chosen: i + 1, choice: found };
  }
  return best;
}

async function judged(
  task: HeadExamples["task"],
  examples: readonly { example: Example; encoded: TrainingExample }[],
  { rows: { outputs }, groups }: ExampleRows,
  { rows, logits }: CrossValidated,
  signal: AbortSignal | undefined,
): Promise<Pick<FittedHead, "scores" | "options">> {
  const ofExample = new Map<number, number[]>();
  Array.from(rows, (row, i) => [row, i] as const)
    .sort(([a], [b]) => a - b)
    .forEach(([row, i]) => {
      const own = logits.subarray(i * outputs, (i + 1) * outputs);
      ofExample.set(groups.groups[row]!, [...(ofExample.get(groups.groups[row]!) ?? []), ...own]);
    });
  if (ofExample.size === 0) return {};
  const said = [...ofExample].map(([place, values]) => ({ ...examples[place]!, values: Float32Array.from(values) }));
  const kind = findTaskKind(task.kind);
  const found = kind.threshold?.fitted(said.map(({ values }) => values));
  const options = { ...found, ...task.options };
  const predictions = said.map(({ example, encoded, values }) =>
    kind.predict(task.labels, example, encoded, values, options),
  );
  const scores = await scoresOf(
    task,
    predictions,
    said.map(({ example }) => example),
    signal,
  );
  return { scores, ...(found && { options }) };
}
