import { Graph, type Value } from "../graph/graph.ts";
import type { HeadKind, LinearSite, WeightSpec } from "./architecture.ts";
import type { ModelDescription } from "./families.ts";
import { ForwardContext } from "./forward-context.ts";

/**
 * Writes a whole model, head included.
 * @returns the logits: `[batch, labels]`, or `[batch*sequence, labels]` of a token head
 */
export function writeModel(
  context: ForwardContext,
  { architecture, config }: ModelDescription,
  labelCount: number,
  head: HeadKind = "sequence",
): Value {
  const hidden = architecture.backbone(context, config, context.inputs());
  return context.head(() => architecture[`${head}Head`](context, config, hidden, labelCount));
}

/** What a model consists of, found by writing its forward pass once; no weights are needed. */
export interface ModelTrace {
  /** Its linear layers in the order in which it uses them. */
  sites: readonly LinearSite[];
  /** Every weight by name, the head's among them. */
  weights: ReadonlyMap<string, WeightSpec>;
}

/** Layers and weights of a model with a head for `labelCount` labels. */
export function traceModel(description: ModelDescription, labelCount: number, head?: HeadKind): ModelTrace {
  const context = new ForwardContext(new Graph(), { trains: () => false, dropout: false });
  writeModel(context, description, labelCount, head);
  return { sites: [...context.sites.values()], weights: context.weights };
}
