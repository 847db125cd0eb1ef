import { Graph } from "../graph/graph.ts";
import type { LinearSite, WeightSpec } from "./architecture.ts";
import type { ModelDescription } from "./families.ts";
import { ForwardContext } from "./forward-context.ts";

/** What a model consists of, found by writing its forward pass once; no weights are needed. */
export interface ModelTrace {
  /** Its linear layers in the order in which it uses them. */
  sites: readonly LinearSite[];
  /** Every weight by name, the head's among them. */
  weights: ReadonlyMap<string, WeightSpec>;
}

/** Layers and weights of a model with a head for `labelCount` labels. */
export function traceModel({ architecture, config }: ModelDescription, labelCount: number): ModelTrace {
  const context = new ForwardContext(new Graph(), { trains: () => false, dropout: false });
  const hidden = architecture.backbone(context, config, context.inputs());
  context.head(() => architecture.sequenceHead(context, config, hidden, labelCount));
  return { sites: context.sites, weights: context.weights };
}
