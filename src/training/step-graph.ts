import type { KindHead } from "../architectures/architecture.ts";
import type { BaseFormat } from "../architectures/base-format.ts";
import type { ModelDescription } from "../architectures/families.ts";
import { type DropoutLayer, ForwardContext, type ForwardHooks } from "../architectures/forward-context.ts";
import type { HeadFeatures } from "../architectures/heads.ts";
import type { LinearModule, WeightSpec } from "../architectures/model-parts.ts";
import type { StreamInputs } from "../architectures/streams/token-stream.ts";
import { traceModel, writeEncoder, writeFeatures, writeModel } from "../architectures/trace.ts";
import { type Dimension, product, quotient } from "../graph/dimension.ts";
import { gradients } from "../graph/gradients.ts";
import { Graph, liveLeaves, type Value } from "../graph/graph.ts";
import { add, concat, gemm, mul, sumAll } from "../graph/ops.ts";
import type { Adaptation, FrozenBlocks } from "../methods/method.ts";
import type { Objective } from "../tasks/losses/objective.ts";
import type { TaskKind } from "../tasks/task-kind.ts";

export interface AdaptedModel extends ModelDescription {
  adaptation: Adaptation;
  /** Parameters of the adaptation that train now (default: all that are trainable). */
  trainable?: ReadonlySet<string>;
  /** Frozen blocks: the graph begins after them, with hidden states as an input. */
  frozenBlocks?: FrozenBlocks | undefined;
  labelCount: number;
  /** Storage format of the backbone weights that do not train (default: float32). */
  format?: BaseFormat;
  /** Head, one of those that the family has (default: `sequence`). */
  head?: KindHead;
  trainsHead(name: string): boolean;
}

/** Readout of a kind of task, which reads a model's outputs within the graph, and the objective that defines its targets. */
export type ReadBy = Pick<TaskKind, "objective" | "readout">;

/** Function that reduces outputs within the graph, given their targets; undefined if the graph returns the outputs. */
export const readerOf = ({ objective, readout }: ReadBy): ((outputs: Value, targets: Value) => Value) | undefined =>
  readout?.write ?? objective.rowValue;

export const GRADIENT = "gradient:";
export const SUM = "sum:";

export interface ModelGraph<Output extends string = string> {
  outputs: Record<Output, Value>;
  streams: readonly StreamInputs[];
  dropouts: readonly DropoutLayer[];
}

export interface InferenceOptions extends Partial<Pick<ForwardHooks, "dropout" | "stream" | "encoded" | "joined">> {
  readBy?: ReadBy | undefined;
  /** Features that the graph returns side by side, instead of the head's outputs. */
  features?: readonly HeadFeatures[] | undefined;
  /** Whether each row also has the features that the head's last layer reads, after its outputs. */
  withFeatures?: boolean | undefined;
}

export interface StepGraphOptions extends Pick<ForwardHooks, "dropout" | "recompute"> {
  part?: boolean;
  adds?: boolean;
}

/**
 * Writes the head's outputs, `[rows, outputs]`, without dropout by default; if `readBy` reads them within the graph, the values
 * read, `[rows, width]`, with targets as inputs. The method's parameters are trainable leaves, because they may change, or be
 * replaced by another adapter's, between two runs.
 */
export function writeInference(
  model: AdaptedModel,
  { dropout = false, readBy, features, withFeatures = false, stream, encoded, joined }: InferenceOptions = {},
): ModelGraph<"logits"> {
  if (features) {
    const { context } = adaptedContext(model, () => "trainable", { dropout, stream, encoded });
    return modelGraph(context, { logits: writeFeatures(context, model, features, model.head) });
  }
  const { context, logits } = writeForward(model, () => "trainable", { dropout, stream, encoded, joined });
  if (withFeatures) {
    const { classifier } = traceModel(model, model.labelCount, model.head);
    return modelGraph(context, { logits: concat([logits, context.inputs.get(classifier!)!], 1) });
  }
  const read = readBy && readerOf(readBy);
  return modelGraph(context, { logits: read ? read(logits, targetsOf(readBy.objective, logits)) : logits });
}

/**
 * Writes a single block without dropout: from the hidden states at its boundary, or the texts if it is the first block, to the
 * hidden states after it, `hidden` `[tokens, hidden]`.
 */
export function writeBlock(model: AdaptedModel, block: number): ModelGraph<"hidden"> {
  const frozenBlocks = { count: block, parameters: new Set<string>() };
  const { context } = writeForward({ ...model, frozenBlocks }, () => "trainable", { dropout: false });
  return modelGraph(context, { hidden: context.blocks[block]! });
}

/**
 * Names of trainable parameters by block: those that a block reads and no earlier block does. Parameters before the first block belong
 * to the first. For an encoder-decoder, only the encoder's blocks.
 */
export function trainedByBlock(model: AdaptedModel): string[][] {
  const { trainable } = model.adaptation;
  const { context } = writeForward(model, (name) => (trainable.has(name) ? "trainable" : "frozen"), { dropout: false });
  const rows = context.blocks[0]?.shape[0];
  const met = new Set<Value>();
  return context.blocks
    .filter(({ shape }) => shape[0] === rows)
    .map((hidden) => {
      const own = liveLeaves([hidden]).filter((value) => value.leaf!.kind === "trainable" && !met.has(value));
      for (const value of own) met.add(value);
      return own.map(({ leaf }) => leaf!.name);
    });
}

/**
 * Writes the products `Xᵀ X` of the inputs X `[tokens, in]` of linear layers, `[in, in]`, without dropout: one for each layer, by its name.
 */
export function writeInputProducts(model: AdaptedModel, modules: readonly LinearModule[]): ModelGraph {
  const { context } = writeForward(model, () => "frozen", { dropout: false });
  const products = modules.map(({ name }) => {
    const x = context.inputs.get(name)!;
    return [name, gemm(x, x, { transA: true })] as const;
  });
  return modelGraph(context, Object.fromEntries(products));
}

function modelGraph<Output extends string>(
  { streams, dropouts }: ForwardContext,
  outputs: Record<Output, Value>,
): ModelGraph<Output> {
  const read = new Set(liveLeaves(Object.values<Value>(outputs)).map(({ leaf }) => leaf!.name));
  return { outputs, streams, dropouts: dropouts.filter(({ input }) => read.has(input)) };
}

/** Writes the encoder of an encoder-decoder, without dropout: `[tokens, hidden]`. Parameters are as in {@link writeInference}. */
export function writeEncoded(model: AdaptedModel, { stream }: Pick<ForwardHooks, "stream"> = {}): ModelGraph<"hidden"> {
  const { context } = adaptedContext(model, () => "trainable", { dropout: false, stream });
  return modelGraph(context, { hidden: writeEncoder(context, model).hidden });
}

/**
 * Writes one training step of `model`: forward, loss and backward as one graph. Its outputs are `loss` `[]`
 * and `gradient:<name>` of every parameter that trains.
 */
export function writeStep(
  model: AdaptedModel,
  objective: Objective,
  { dropout, recompute, part = false, adds = false }: StepGraphOptions,
): ModelGraph {
  const { adaptation, trainable = adaptation.trainable } = model;
  const { context, logits, parameter } = writeForward(model, (name) => (trainable.has(name) ? "trainable" : "frozen"), {
    dropout,
    recompute,
  });
  const { graph } = context;
  const values = objective.rowValue?.(logits, targetsOf(objective, logits)) ?? logits;
  const objectiveValue = part
    ? sumAll(mul(values, graph.leaf("input", "outputGradients", "float32", values.shape)))
    : writeObjective(objective, values, targetsOf(objective, logits));
  const written = graph.within({ part: "adapter" }, () => adaptation.penalty?.(parameter));
  // The penalty counts once per step, even if the step has several micro-batches.
  const penalty = written && mul(written, graph.leaf("input", "penaltyWeight", "float32", []));
  const total = penalty ? add(objectiveValue, penalty) : objectiveValue;
  // The term that yields the fed gradient is not a loss.
  const loss = part ? (penalty ?? graph.constant([0], "float32")) : total;
  // Frozen blocks are written, but the outputs do not read them.
  const read = model.frozenBlocks ? liveLeaves([total]) : [...graph.leaves.values()];
  const leaves = read.filter(({ leaf }) => leaf!.kind === "trainable");
  const sums = leaves.map(({ leaf, dtype, shape }) => graph.leaf("input", SUM + leaf!.name, dtype, shape));
  const derivatives = gradients(total, leaves, adds ? sums : undefined);
  return modelGraph(context, {
    loss,
    ...Object.fromEntries(leaves.map(({ leaf }, i) => [GRADIENT + leaf!.name, derivatives[i]!])),
  });
}

/**
 * Writes an objective without its model: the loss of the values that it reads, an input `logits` `[rows, outputs]` or `[rows, 1]`, and
 * its gradient with respect to them.
 */
export function writeBatchCoupledLoss(
  objective: Objective,
  outputs: number,
): Record<"loss" | "outputGradients", Value> {
  const graph = new Graph();
  const logits = graph.leaf("input", "logits", "float32", ["rows", widthRead(objective, outputs)]);
  const target = objective.target(outputs);
  const targets = graph.leaf("input", "targets", target.dtype, ["rows", ...target.shape]);
  const loss = writeObjective(objective, logits, targets);
  return { loss, outputGradients: gradients(loss, [logits])[0]! };
}

export const widthRead = ({ rowValue }: Objective, outputs: number): number => (rowValue ? 1 : outputs);

/** The objective over `values` `[rows, width]`, with weights as an input. */
function writeObjective(objective: Objective, values: Value, targets: Value): Value {
  const weights = values.graph.leaf("input", "rowWeights", "float32", [values.shape[0]!, 1]);
  return objective.loss(values, targets, weights);
}

/** Input with the targets of `logits` `[rows, outputs]`. */
function targetsOf(objective: Objective, { graph, shape }: Value): Value {
  const [rows, outputs] = shape as [string, number];
  const target = objective.target(outputs);
  return graph.leaf("input", "targets", target.dtype, [rows, ...target.shape]);
}

function writeForward(
  model: AdaptedModel,
  kindOf: (name: string) => "trainable" | "frozen",
  hooks: Pick<ForwardHooks, "dropout" | "recompute" | "stream" | "encoded" | "joined">,
) {
  const { context, parameter } = adaptedContext(model, kindOf, hooks);
  return { context, logits: writeModel(context, model, model.labelCount, model.head), parameter };
}

function adaptedContext(
  model: AdaptedModel,
  kindOf: (name: string) => "trainable" | "frozen",
  hooks: Pick<ForwardHooks, "dropout" | "recompute" | "stream" | "encoded" | "joined">,
) {
  const { frozenBlocks } = model;
  const { adapt, inputDropout = 0, modules, parameters, trainsBackbone = false } = model.adaptation;
  const adapted = new Set(modules.map(({ name }) => name));
  const graph = new Graph();
  const specs = new Map(parameters.map((parameter) => [parameter.name, parameter]));
  const parameter = (name: string): Value => graph.leaf(kindOf(name), name, "float32", specs.get(name)!.shape);
  const context: ForwardContext = new ForwardContext(graph, {
    trains: ({ name, part }: WeightSpec) =>
      part === "head" ? model.trainsHead(name) : trainsBackbone && !frozenBlocks?.parameters.has(name),
    ...(adapt && {
      adapt(x, layer, module) {
        if (!adapted.has(module.name)) return layer(x);
        // Rows that represent only positions, as in DeBERTa, belong to no example and get no dropout.
        const dropped = isOfExamples(context, x.shape[0]!) ? context.dropout(x, inputDropout) : x;
        return adapt(parameter, dropped, (input) => layer(input === dropped ? x : input), module);
      },
    }),
    format: model.format,
    boundary: frozenBlocks?.count,
    ...hooks,
  });
  return { context, parameter };
}

function isOfExamples({ streams }: ForwardContext, rows: Dimension): boolean {
  const own = streams.flatMap(({ prefix }) => [`${prefix}tokens`, product(["batch", `${prefix}sequence`])]);
  const each = quotient(rows, "batch");
  return own.includes(rows) || (typeof each === "number" && each > 1);
}
