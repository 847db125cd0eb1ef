import type { Value } from "../graph/graph.ts";
import { ACTIVATIONS, type Activation } from "./activation.ts";
import type { Architecture, Head, KindHead, ModelConfig } from "./architecture.ts";
import type { ForwardContext } from "./forward-context.ts";
import { MEAN_POOLING, POOLING_MODES, type Pooling, writePooling } from "./pooling.ts";

/**
 * Possible inputs of the last layer of a sequence head: that of the family's own head, such as BERT's pooler output; the
 * sentence vector that the model's folder defines, normalised if the folder says so; or the tokens pooled in one of the modes.
 */
export const HEAD_FEATURES = ["family", "sentence", ...POOLING_MODES] as const;
/** Features of a text that a head can read. */
export type HeadFeatures = (typeof HEAD_FEATURES)[number];

export const nameOfHead = (head: KindHead): string => (typeof head === "string" ? head : head.name);

/** Whether models of a family can have a head; every family pools. */
export const offersHead = ({ heads }: Architecture, head: KindHead): boolean =>
  typeof head !== "string" || head === "pooled" || heads[head] !== undefined;

/** Whether a head is a single layer on pooled hidden states, which no Hugging Face class has. */
export const readsPooled = (head: KindHead, features: HeadFeatures = "family"): boolean =>
  head === "sequence" && features !== "family";

export const poolingOfFeatures = (features: HeadFeatures, own: Pooling = MEAN_POOLING): Pooling =>
  features === "sentence" || features === "family" ? own : { mode: features, normalize: false };

export const pooledHead =
  (pooling: Pooling): Head<ModelConfig> =>
  (context, _config, hidden, outputs, tokens) =>
    context.dense(writePooling(pooling, tokens, hidden), "classifier", hidden.shape[1] as number, outputs);

/**
 * Creates RoBERTa's, MPNet's and ELECTRA's head: a dense layer and a projection of the first token, `[batch, outputs]`.
 */
export function firstTokenHead(activation: Activation): Head<ModelConfig & { classifierDropout: number }> {
  return (context, { classifierDropout }, hidden, outputs, tokens) => {
    const width = hidden.shape[1] as number;
    const first = context.dropout(tokens.first(hidden), classifierDropout);
    const inner = ACTIVATIONS[activation](context.dense(first, "classifier.dense", width, width));
    return context.dense(context.dropout(inner, classifierDropout), "classifier.out_proj", width, outputs);
  };
}

export function plainTokenHead<Config extends ModelConfig>(
  dropout: (config: Config) => number,
  before: (context: ForwardContext, config: Config, hidden: Value) => Value = (_context, _config, hidden) => hidden,
): Head<Config> {
  return (context, config, hidden, outputs) => {
    const rows = context.dropout(before(context, config, hidden), dropout(config));
    return context.dense(rows, "classifier", hidden.shape[1] as number, outputs);
  };
}
