import { UserError } from "../errors.ts";
import { Graph, type Value } from "../graph/graph.ts";
import { concat } from "../graph/ops.ts";
import type { Architecture, Head, HeadName, KindHead, ModelConfig } from "./architecture.ts";
import { readsSource } from "./architecture-kinds.ts";
import type { ModelDescription } from "./families.ts";
import { ForwardContext } from "./forward-context.ts";
import { type HeadFeatures, pooledHead, poolingOfFeatures, readsPooled } from "./heads.ts";
import type { LinearModule, WeightSpec } from "./model-parts.ts";
import { MEAN_POOLING, type Pooling, writePooling } from "./pooling.ts";
import { computedWhole } from "./streams/read-rows.ts";
import type { Encoded, TokenStream } from "./streams/token-stream.ts";

/** Whether a head returns a row of outputs for each selected token, rather than one for each example. */
export const labelsTokens = (head: KindHead): boolean =>
  typeof head === "string" ? head === "token" || head === "languageModel" : head.rows === "token";

/** Whether a head was pretrained with the model and serves all tasks, so that its weights belong to the backbone. */
export const isPretrained = (head: KindHead): boolean => head === "languageModel";

export const defaultHead = ({ heads }: Architecture): HeadName => (heads.sequence ? "sequence" : "languageModel");

/** Writes a whole model, head included. */
export function writeModel(
  context: ForwardContext,
  description: ModelDescription,
  outputs: number,
  head: KindHead = "sequence",
): Value {
  const hidden = writeHiddenStates(context, description);
  return writeHead(context, description, hidden, outputs, head);
}

function writeHead(
  context: ForwardContext,
  description: ModelDescription,
  hidden: Value,
  outputs: number,
  head: KindHead,
): Value {
  const write = headOf(description, head);
  const own = ownTokens(context, description);
  const rows = labelsTokens(head) ? own.outputRows(hidden) : hidden;
  const written = (): Value => write(context, description.config, rows, outputs, own);
  return isPretrained(head) ? written() : context.head(written);
}

function headOf({ architecture, config, pooling, features = "family" }: ModelDescription, head: KindHead) {
  if (typeof head !== "string") return head.write;
  if (head === "pooled") return embeddingHead(pooling ?? MEAN_POOLING);
  if (readsPooled(head, features)) return pooledHead(poolingOfFeatures(features, pooling));
  const write = architecture.heads[head];
  if (write) return write;
  const offered = Object.keys(architecture.heads).join(", ");
  throw new UserError(`models of type "${config.modelType}" have no ${head} head (they have: ${offered})`);
}

const ownTokens = (context: ForwardContext, { architecture, config }: ModelDescription): TokenStream =>
  readsSource({ architecture }) ? context.tokens("decoder.") : encoderTokens(context, config);

const encoderTokens = (context: ForwardContext, { picture, maxLength }: ModelConfig): TokenStream =>
  context.tokens("", picture && maxLength);

/**
 * Writes a model up to possible inputs of the last layer of its head.
 * @returns the features concatenated, in the order of their names: `[batch, width]`, or `[outputRows, width]` of a head that labels tokens
 */
export function writeFeatures(
  context: ForwardContext,
  description: ModelDescription,
  names: readonly HeadFeatures[],
  head: KindHead = "sequence",
): Value {
  const states = writeHiddenStates(context, description);
  const hidden = names.length > 1 ? computedWhole(states) : states;
  const own = ownTokens(context, description);
  const parts = names.map((features) => {
    if (features !== "family") return writePooling(poolingOfFeatures(features, description.pooling), own, hidden);
    const { classifier } = traceModel({ ...description, features }, 1, head);
    writeHead(context, { ...description, features }, hidden, 1, head);
    return context.inputs.get(classifier!)!;
  });
  return parts.length === 1 ? parts[0]! : concat(parts, 1);
}

const embeddingHead =
  (pooling: Pooling): Head<ModelConfig> =>
  (_context, _config, hidden, _outputs, tokens) =>
    writePooling(pooling, tokens, hidden);

/** Writes a model without a head. @returns the final hidden states, `[tokens, hidden]` */
export function writeHiddenStates(context: ForwardContext, { architecture, config }: ModelDescription): Value {
  switch (architecture.kind) {
    case "encoder":
      return architecture.encode(context, config, encoderTokens(context, config));
    case "decoder":
      return architecture.decode(context, config, context.tokens());
    case "encoder-decoder": {
      const encoded = context.encoded(config.hiddenSize) ?? writeEncoder(context, { architecture, config });
      return architecture.decode(context, config, context.tokens("decoder."), encoded);
    }
  }
}

export function writeEncoder(context: ForwardContext, { architecture, config }: ModelDescription): Encoded {
  if (architecture.kind !== "encoder-decoder") throw new Error(`${config.modelType} is not an encoder-decoder`);
  const tokens = context.tokens();
  return { hidden: architecture.encode(context, config, tokens), tokens };
}

/** Layers and weights of a model, recorded by writing its forward pass once; needs no weights. */
export interface ModelTrace {
  /** Linear layers in order of use. */
  modules: readonly LinearModule[];
  /** All weights by name, including the head's. */
  weights: ReadonlyMap<string, WeightSpec>;
  /**
   * Module of the head's last layer, whose outputs are the labels: `classifier`, `classifier.out_proj`; undefined if no
   * part of the head is made for a task.
   */
  classifier: string | undefined;
}

export function traceModel(description: ModelDescription, outputs: number, head?: KindHead): ModelTrace {
  const context = new ForwardContext(new Graph(), { trains: () => false, dropout: false });
  writeModel(context, description, outputs, head);
  const last = [...context.weights.values()].findLast(({ part }) => part === "head");
  const classifier = last?.name.slice(0, last.name.lastIndexOf("."));
  return { modules: [...context.modules.values()], weights: context.weights, classifier };
}
