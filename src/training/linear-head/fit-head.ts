import { float32, type Tensors } from "../../graph/tensor.ts";
import type { HeadFeatures } from "../../models/heads.ts";
import { traceModel } from "../../models/trace.ts";
import type { Runtime } from "../../runtime/session.ts";
import type { Example, TaskData } from "../../tasks/example.ts";
import { type Scores, scoresOf } from "../../tasks/examples.ts";
import type { LinearLoss } from "../../tasks/losses/objective.ts";
import type { Media } from "../../tasks/media.ts";
import type { TaskOptionValues, TrainingExample } from "../../tasks/task-kind.ts";
import { findTaskKind } from "../../tasks/task-kinds.ts";
import { Predictor } from "../prediction/predictor.ts";
import type { AdaptedModel } from "../step-graph.ts";
import { type CrossValidated, crossValidate } from "./cross-validation.ts";
import type { FeatureRows } from "./design.ts";
import { type RowGroups, sampleRows } from "./folds.ts";
import { choosePenalty, fitLinear, isWorse, rescaled, uncompared } from "./linear-head.ts";

/** Examples to fit a head to, as read and as encoded, in one order. */
export interface HeadExamples {
  task: Pick<TaskData, "kind" | "labels" | "metrics" | "options">;
  examples: readonly Example[];
  encoded: readonly TrainingExample[];
}

/** The best last layer of a head, beside a model that stays as it is. */
export interface FittedHead {
  /** What it reads. */
  features: HeadFeatures;
  /** The layer's weight and bias by name, such as `classifier.weight`. */
  weights: Tensors<"float32">;
  /** λ of its weights, of features that are centred and scaled to a mean square of 1. */
  penalty: number;
  /** How heads that were fitted without an example do on it, by cross-validation; absent where nothing could be left out. */
  scores?: Scores | undefined;
  /** Options of the task that were not given, by what such heads say. */
  options?: TaskOptionValues | undefined;
}

export interface HeadFitOptions {
  /** What it may read: the first unless another is better by more than a standard error. */
  candidates: readonly HeadFeatures[];
  /** Of the task's objective. */
  loss: LinearLoss;
  /** λ of its weights; chosen by cross-validation where absent. */
  penalty?: number | undefined;
  /** Most tokens of a run of the model's graph. */
  tokenBudget: number;
  signal?: AbortSignal | undefined;
  /** Told how far it is; what it returns is waited for. */
  onFitting?: ((progress: FittingProgress) => void | Promise<void>) | undefined;
}

/** How far something is that is done before training: the fitting of a head, which reads twice what it is chosen by. */
export interface FittingProgress {
  doing: `reading the ${Media}` | "fitting the head" | "reading the answers before training" | "training on all";
  /** Examples read. */
  done: number;
  of: number;
}

/** Examples that are enough to choose features and a penalty by. */
const COMPARED = 1000;

/**
 * Fits the last layer of a model's head to its features, which nothing changes, to the least penalised loss: a logistic regression
 * for classes, one for each of several labels, a ridge regression for numbers; of a head that labels tokens, over all of them.
 * What it reads and its penalty are chosen by cross-validation, unless the penalty is given. Examples may come in any order.
 */
export async function fitHead(
  model: AdaptedModel,
  weights: Tensors,
  runtime: Runtime,
  given: HeadExamples,
  { candidates, loss, penalty, tokenBudget, signal, onFitting }: HeadFitOptions,
): Promise<FittedHead> {
  const order = orderOf(given.encoded);
  const { stratumOf } = findTaskKind(given.task.kind);
  const strata = stratumOf && given.examples.map(stratumOf);
  const compared = sampleRows(order, { strata }, COMPARED);
  const comparesAll = compared.length === order.length;
  const of = comparesAll ? order.length : compared.length + order.length;
  let read = 0;
  const rowsOf = async (places: Int32Array, names: readonly HeadFeatures[]): Promise<ExampleRows[]> => {
    const predictor = await Predictor.compile(model, weights, runtime, { tokenBudget, features: names });
    try {
      const encoded = Array.from(places, (place) => given.encoded[place]!);
      const values = await predictor.logits(encoded, undefined, signal, (done) =>
        onFitting?.({ doing: "fitting the head", done: read + done, of }),
      );
      read += places.length;
      const own = strata && Array.from(places, (place) => strata[place]!);
      return names.map((_, i) => exampleRows(encoded, values, own, { part: i, of: names.length }));
    } finally {
      await predictor.release();
    }
  };
  const comparedRows = await rowsOf(compared, candidates);
  const { chosen, choice } =
    penalty === undefined ? choose(comparedRows, loss) : { chosen: 0, choice: uncompared(penalty) };
  const features = candidates[chosen]!;
  const all = comparesAll ? comparedRows[chosen]! : (await rowsOf(order, [features]))[0]!;
  const scaled = penalty === undefined ? rescaled(all.rows, loss, choice, all.groups) : choice;
  const { weight, bias } = fitLinear(all.rows, loss, scaled, all.groups);
  const { classifier } = traceModel({ ...model, features }, model.labelCount, model.head);
  const shown = Array.from(compared, (place) => ({ example: given.examples[place]!, encoded: given.encoded[place]! }));
  return {
    features,
    weights: new Map([
      [`${classifier}.weight`, float32([all.rows.outputs, all.rows.width], Float32Array.from(weight))],
      [`${classifier}.bias`, float32([all.rows.outputs], Float32Array.from(bias))],
    ]),
    penalty: choice.penalty,
    ...judged(given.task, shown, comparedRows[chosen]!, choice),
  };
}

/** Rows of features of some examples, and what belongs together. */
interface ExampleRows {
  rows: FeatureRows;
  groups: RowGroups & { groups: Int32Array };
}

/** Numbers of examples by what is read of them: which rows are drawn, and the batches that they are computed in, do not depend on the file's order. */
function orderOf(encoded: readonly TrainingExample[]): Int32Array {
  const keys = encoded.map(({ encoding, inputs = {}, targets }) => {
    const others = Object.values(inputs).map(({ key }) => key);
    return `${encoding.inputIds.join()} ${others.join()}${targets.data.join()}`;
  });
  return Int32Array.from(keys.keys()).sort((a, b) => (keys[a]! < keys[b]! ? -1 : keys[a]! > keys[b]! ? 1 : 0));
}

/** @param values features of each example, `[rows, of * width]`, of which one part is taken */
function exampleRows(
  encoded: readonly TrainingExample[],
  values: readonly Float32Array[],
  strata: readonly number[] | undefined,
  { part, of }: { part: number; of: number },
): ExampleRows {
  const weights = Float32Array.from(encoded.flatMap((example) => Array.from(example.weights)));
  const rows = weights.length;
  const stride = values.reduce((sum, each) => sum + each.length, 0) / rows;
  const width = stride / of;
  const features = new Float32Array(rows * width);
  const groups = new Int32Array(rows);
  let row = 0;
  values.forEach((own, example) => {
    for (let start = part * width; start < own.length; start += stride) {
      features.set(own.subarray(start, start + width), row * width);
      groups[row++] = example;
    }
  });
  const targets = Float32Array.from(encoded.flatMap((example) => Array.from(example.targets.data)));
  return {
    rows: { rows, width, outputs: targets.length / rows, features, targets, weights },
    groups: { groups, strata: strata && Array.from(groups, (example) => strata[example]!) },
  };
}

/** The candidate to read, with a penalty: others are compared at the first one's. */
function choose([first, ...others]: readonly ExampleRows[], loss: LinearLoss) {
  const own = choosePenalty(first!.rows, loss, first!.groups);
  let best = { chosen: 0, choice: own };
  others.forEach(({ rows, groups }, i) => {
    const [found] = crossValidate(rows, loss, groups, [own.penalty]);
    if (found && isWorse(best.choice.losses, found.losses)) best = { chosen: i + 1, choice: found };
  });
  return best;
}

/** What fits that did not see examples say of them: how good that is, and the options that follow from it. */
function judged(
  task: HeadExamples["task"],
  examples: readonly { example: Example; encoded: TrainingExample }[],
  { rows: { outputs }, groups }: ExampleRows,
  { rows, logits }: CrossValidated,
): Pick<FittedHead, "scores" | "options"> {
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
  const scores = scoresOf(
    task,
    predictions,
    said.map(({ example }) => example),
  );
  return { scores, ...(found && { options }) };
}
