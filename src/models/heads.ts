import type { Value } from "../graph/graph.ts";
import { ACTIVATIONS, type Activation } from "./activation.ts";
import type { Head, ModelConfig } from "./architecture.ts";
import type { ForwardContext } from "./forward-context.ts";

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
