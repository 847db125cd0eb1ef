import type { Value } from "../graph/graph.ts";
import { gather, gemm } from "../graph/ops.ts";
import type { ModelConfig } from "./architecture.ts";
import type { ForwardContext } from "./forward-context.ts";

/** A model's table of words. */
export interface WordsConfig extends ModelConfig {
  /** Whether the words' output layer is their table of embeddings. */
  tied: boolean;
}

const shapeOf = ({ vocabularySize, hiddenSize }: WordsConfig): [number, number] => [vocabularySize, hiddenSize];

/**
 * Embeddings of `ids [tokens]` by the table of module `name`, `[tokens, hidden]`. A table that is the output layer too stays in
 * float32, since no other form serves both.
 */
export function embedWords(context: ForwardContext, config: WordsConfig, name: string, ids: Value): Value {
  return config.tied
    ? gather(context.weight(`${name}.weight`, shapeOf(config)), ids)
    : context.lookup(name, shapeOf(config), ids);
}

/** Logits of every word, `[rows, vocabulary]`, from the final hidden states: `lm_head`, or the table `name` where it is tied. */
export function wordLogits(context: ForwardContext, config: WordsConfig, name: string, hidden: Value): Value {
  return config.tied
    ? gemm(hidden, context.weight(`${name}.weight`, shapeOf(config)), { transB: true })
    : context.dense(hidden, "lm_head", config.hiddenSize, config.vocabularySize, { bias: false });
}
