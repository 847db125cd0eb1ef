import type { Value } from "../graph/graph.ts";
import type { ModelConfig } from "./architecture.ts";
import type { ForwardContext } from "./forward-context.ts";

/** A model's table of words. */
export interface WordsConfig extends ModelConfig {
  /** Whether the words' output layer is their table of embeddings. */
  tied: boolean;
}

/** Embeddings of `ids [tokens]` by the table of module `name`, `[tokens, hidden]`. */
export function embedWords(context: ForwardContext, config: WordsConfig, name: string, ids: Value): Value {
  return context.lookup(name, [config.vocabularySize, config.hiddenSize], ids);
}

/** Logits of every word, `[rows, vocabulary]`, from the final hidden states: `lm_head`, or the table `name` where it is tied. */
export function wordLogits(context: ForwardContext, config: WordsConfig, name: string, hidden: Value): Value {
  return context.unembed(hidden, config.tied ? name : "lm_head", config.vocabularySize);
}
