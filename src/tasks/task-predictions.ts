import type { ClassifiedText } from "./kinds/classification.ts";
import type { EmbeddedText } from "./kinds/embedding.ts";
import type { MultiLabelledText } from "./kinds/multi-label.ts";
import type { ScoredText } from "./kinds/regression.ts";
import type { RerankedText } from "./kinds/reranker.ts";
import type { RewardedText } from "./kinds/reward.ts";
import type { TaggedText } from "./kinds/token-classification.ts";
import type { TextLikelihood } from "./written-tokens.ts";

/**
 * What a model says of one text, by the name of its kind of task (docs/tasks.md). A program that registers a kind declares its
 * own here: `declare module "aflora" { interface TaskPredictions { … } }`.
 */
export interface TaskPredictions {
  classification: ClassifiedText;
  regression: ScoredText;
  "multi-label": MultiLabelledText;
  "token-classification": TaggedText;
  "image-classification": ClassifiedText;
  "language-model": TextLikelihood;
  "sequence-to-sequence": TextLikelihood;
  preference: TextLikelihood;
  reward: RewardedText;
  "reward-learning": TextLikelihood;
  embedding: EmbeddedText;
  "image-embedding": EmbeddedText;
  reranker: RerankedText;
}
