import { float32 } from "../graph/tensor.ts";
import type { Targets, TaskKind } from "./task-kind.ts";
import { textsOf } from "./whole-text.ts";

/** Relevance of a passage for a query. */
export interface RerankedText {
  /** The model's one output; a higher value is better. */
  logit: number;
  /** `1 / (1 + e^-logit)`, from 0 to 1. */
  sigmoid: number;
}

/** Common parts of kinds whose one output scores a pair of texts. */
export const scoredPairs = {
  refines: true,
  head: "sequence",
  outputs: () => 1,
  labelsIn: () => [],
  exampleOfRow: textsOf,
  predict: (_labels, _example, _encoded, logits) => ({
    label: logits[0]!,
    vectors: Array.from(logits, (logit) => Float32Array.of(logit)),
  }),
} as const satisfies Partial<TaskKind>;

/** Targets of the texts of an example, `[index, place, ...more]` each. The example counts once, with its first text. */
export function listTargets(index: number, count: number, ...more: readonly number[]): Targets {
  const width = 2 + more.length;
  const targets = float32([count, width]);
  for (let place = 0; place < count; place++) targets.data.set([index, place, ...more], place * width);
  return { targets, weights: Float32Array.from({ length: count }, (_, place) => (place === 0 ? 1 : 0)) };
}
