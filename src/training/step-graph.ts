import { gradients } from "../graph/gradients.ts";
import { Graph, type Value } from "../graph/graph.ts";
import { add, mul } from "../graph/ops.ts";
import type { Method } from "../methods/method.ts";
import type { HeadKind, WeightSpec } from "../models/architecture.ts";
import type { ModelDescription } from "../models/families.ts";
import { type DropoutLayer, ForwardContext } from "../models/forward-context.ts";
import { writeModel } from "../models/trace.ts";
import type { Objective } from "../tasks/objective.ts";

/** A model with a method beside it and a head. */
export interface AdaptedModel extends ModelDescription {
  method: Method;
  labelCount: number;
  /** What the head labels: whole texts where absent. */
  head?: HeadKind;
  /** Which weights of the head train. */
  trainsHead(name: string): boolean;
}

/** Prefix of the outputs that hold gradients. */
export const GRADIENT = "gradient:";

/** Forward, loss and backward as one graph. */
export interface StepGraph {
  /** `loss` `[]`, and `gradient:<name>` of every parameter that trains now. */
  outputs: Record<string, Value>;
  dropouts: readonly DropoutLayer[];
}

/**
 * The logits alone, without dropout: `[batch, labels]`, or `[batch*sequence, labels]` of a token head. The method's
 * parameters are trainable leaves all the same: they may change, or give way to another adapter's, between two runs.
 */
export function writeInference(model: AdaptedModel): { logits: Value } {
  return { logits: writeForward(model, () => "trainable", false).logits };
}

/** One training step of `model` with what trains now. */
export function writeStep(model: AdaptedModel, objective: Objective, { dropout }: { dropout: boolean }): StepGraph {
  const trainable = model.method.trainable();
  const { context, logits, parameter } = writeForward(
    model,
    (name) => (trainable.has(name) ? "trainable" : "frozen"),
    dropout,
  );
  const { graph } = context;
  const { dtype, shape } = objective.target(model.labelCount);
  const targets = graph.leaf("input", "targets", dtype, [logits.shape[0]!, ...shape]);
  const weights = graph.leaf("input", "rowWeights", "float32", [logits.shape[0]!, 1]);
  const objectiveValue = objective.loss(logits, targets, weights);
  const penalty = graph.within({ part: "adapter" }, () => model.method.penalty?.(parameter));
  // The penalty counts once a step, however many micro-batches the step is cut into.
  const loss = penalty
    ? add(objectiveValue, mul(penalty, graph.leaf("input", "penaltyWeight", "float32", [])))
    : objectiveValue;
  const leaves = [...graph.leaves.values()].filter(({ leaf }) => leaf!.kind === "trainable");
  const derivatives = gradients(loss, leaves);
  return {
    outputs: {
      loss,
      ...Object.fromEntries(leaves.map(({ leaf }, i) => [GRADIENT + leaf!.name, derivatives[i]!])),
    },
    dropouts: context.dropouts,
  };
}

function writeForward(model: AdaptedModel, kindOf: (name: string) => "trainable" | "frozen", dropout: boolean) {
  const { method } = model;
  const { adapt } = method;
  const graph = new Graph();
  const specs = new Map(method.parameters.map((parameter) => [parameter.name, parameter]));
  const parameter = (name: string): Value => graph.leaf(kindOf(name), name, "float32", specs.get(name)!.shape);
  const context = new ForwardContext(graph, {
    trains: ({ name, part }: WeightSpec) => (part === "head" ? model.trainsHead(name) : method.trainsBackbone === true),
    ...(adapt && { adapt: (x, layer, site) => adapt(parameter, x, layer, site) }),
    dropout,
  });
  const logits = writeModel(context, model, model.labelCount, model.head);
  return { context, logits, parameter };
}
