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
  /** Module of the head's last layer, whose outputs are the labels: `classifier`, `classifier.out_proj`. */
  classifier: string;
}

/** Layers and weights of a model with a head for `labelCount` labels. */
export function traceModel(description: ModelDescription, labelCount: number, head?: HeadKind): ModelTrace {
  const context = new ForwardContext(new Graph(), { trains: () => false, dropout: false });
  writeModel(context, description, labelCount, head);
  const last = [...context.weights.values()].findLast(({ part }) => part === "head")!;
  const classifier = last.name.slice(0, last.name.lastIndexOf("."));
  return { sites: [...context.sites.values()], weights: context.weights, classifier };
}
