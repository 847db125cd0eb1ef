import type { Value } from "../graph/graph.ts";
import { ACTIVATIONS, type Activation } from "./activation.ts";
import type { Head, HeadName, ModelConfig } from "./architecture.ts";
import type { ForwardContext } from "./forward-context.ts";
import { MEAN_POOLING, POOLING_MODES, type Pooling, writePooling } from "./pooling.ts";

/**
 * What the last layer of a head for whole texts may read: what the family's own head gives it, such as BERT's pooler; the vector
 * by which the model's folder embeds texts, at length 1 where it says so; or its tokens pooled in one of the ways.
 */
export const HEAD_FEATURES = ["family", "sentence", ...POOLING_MODES] as const;
export type HeadFeatures = (typeof HEAD_FEATURES)[number];

/** Whether a head is one layer on pooled hidden states, which none of Hugging Face's classes has. */
export const readsPooled = (head: HeadName, features: HeadFeatures = "family"): boolean =>
  head === "sequence" && features !== "family";

/** How features are pooled. @param own how the model's folder embeds texts */
export const poolingOfFeatures = (features: HeadFeatures, own: Pooling = MEAN_POOLING): Pooling =>
  features === "sentence" || features === "family" ? own : { mode: features, normalize: false };

/** One layer on pooled hidden states, `[batch, outputs]`. */
export const pooledHead =
  (pooling: Pooling): Head<ModelConfig> =>
  (context, _config, hidden, outputs, tokens) =>
    context.dense(writePooling(pooling, tokens, hidden), "classifier", hidden.shape[1] as number, outputs);

/** A dense layer and a projection on the first token: RoBERTa's, MPNet's and ELECTRA's, `[batch, outputs]`. */
export function firstTokenHead(activation: Activation): Head<ModelConfig & { classifierDropout: number }> {
  return (context, { classifierDropout }, hidden, outputs, tokens) => {
    const width = hidden.shape[1] as number;
    const first = context.dropout(tokens.first(hidden), classifierDropout);
    const inner = ACTIVATIONS[activation](context.dense(first, "classifier.dense", width, width));
    return context.dense(context.dropout(inner, classifierDropout), "classifier.out_proj", width, outputs);
  };
}

/** Dropout and one layer on every token, as most families have it, `[outputRows, outputs]`. */
export function plainTokenHead<Config extends ModelConfig>(
  dropout: (config: Config) => number,
  before: (context: ForwardContext, config: Config, hidden: Value) => Value = (_context, _config, hidden) => hidden,
): Head<Config> {
  return (context, config, hidden, outputs) => {
    const rows = context.dropout(before(context, config, hidden), dropout(config));
    return context.dense(rows, "classifier", hidden.shape[1] as number, outputs);
  };
}
