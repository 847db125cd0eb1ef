import type { Value } from "../graph/graph.ts";
import type { ModelConfig } from "./architecture.ts";
import type { ForwardContext } from "./forward-context.ts";

export interface WordsConfig extends ModelConfig {
  tied: boolean;
}

/** Looks up `ids [tokens]` in the embeddings of module `name`, `[tokens, hidden]`. */
export function embedWords(context: ForwardContext, config: WordsConfig, name: string, ids: Value): Value {
  return context.lookup(name, [config.vocabularySize, config.hiddenSize], ids);
}

/** Returns the logits of the vocabulary, `[rows, vocabulary]`, by `lm_head`, or by the table `name` if it is tied. */
export function wordLogits(context: ForwardContext, config: WordsConfig, name: string, hidden: Value): Value {
  return context.unembed(hidden, config.tied ? name : "lm_head", config.vocabularySize);
}
