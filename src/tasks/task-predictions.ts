import type { ClassifiedText } from "./classification.ts";
import type { EmbeddedText } from "./embedding.ts";
import type { MultiLabelledText } from "./multi-label.ts";
import type { ScoredText } from "./regression.ts";
import type { RerankedText } from "./reranker.ts";
import type { TaggedText } from "./token-classification.ts";
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
  "language-model": TextLikelihood;
  "sequence-to-sequence": TextLikelihood;
  embedding: EmbeddedText;
  reranker: RerankedText;
}
