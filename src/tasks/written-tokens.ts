import type { ModelConfig } from "../architectures/architecture.ts";
import { concat, hits, logLikelihood } from "../graph/ops.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Example, Prediction } from "./example.ts";
import { indexCrossEntropy } from "./losses/objective.ts";
import type { EncodedExample, Metric, TaskKind } from "./task-kind.ts";

/** Likelihood of a text, or of its counted tokens. */
export interface TextLikelihood {
  /** Number of counted tokens. */
  tokens: number;
  /** Logarithm of their probability, each given the tokens before it. */
  logProbability: number;
  /** Inverse of the geometric mean of their probabilities; 1 if the model predicts all. */
  perplexity: number;
}

/** A text with one row before each counted token, and these tokens. */
export interface EncodedText extends EncodedExample {
  rows: Int32Array;
  targets: Tensor<"int32">;
}

function totalOf(predictions: readonly Prediction[]): { tokens: number; logProbability: number; hits: number } {
  const total = { tokens: 0, logProbability: 0, hits: 0 };
  for (const { likelihood } of predictions) {
    total.tokens += likelihood!.tokens;
    total.logProbability += likelihood!.logProbability;
    total.hits += likelihood!.hits;
  }
  return total;
}

const ofTokens = (higherIsBetter: boolean, compute: (total: ReturnType<typeof totalOf>) => number): Metric => ({
  higherIsBetter,
  compute: (predictions) => compute(totalOf(predictions)),
});

export const perplexityOf = ({ tokens, logProbability }: { tokens: number; logProbability: number }): number =>
  tokens === 0 ? 1 : Math.exp(-logProbability / tokens);

/** Sums the values of each row: the target's log-probability, and whether it was the likeliest. @param values `[rows, 2]` */
function scoresOf(values: Float32Array): NonNullable<Prediction["likelihood"]> {
  const scores = { tokens: values.length / 2, logProbability: 0, hits: 0 };
  for (let i = 0; i < values.length; i += 2) {
    scores.logProbability += values[i]!;
    scores.hits += values[i + 1]!;
  }
  return scores;
}

/** Common parts of kinds that learn to generate text token by token. Their `encode` returns an {@link EncodedText}. */
export const writtenTokens = {
  head: "languageModel",
  objective: indexCrossEntropy,
  readout: {
    width: 2,
    write: (outputs, targets) => concat([logLikelihood(outputs, targets), hits(outputs, targets)], 1),
    loss: (values, weights) => weights.reduce((sum, weight, row) => sum - weight * values[2 * row]!, 0),
  },
  metrics: {
    perplexity: ofTokens(false, perplexityOf),
    token_accuracy: ofTokens(true, ({ tokens, hits }) => (tokens === 0 ? 0 : hits / tokens)),
  },
  defaultMetrics: ["perplexity", "token_accuracy"],

  outputs: (_labels: readonly string[], config?: ModelConfig): number => config!.vocabularySize,
  labelsIn: () => [],
  targets: (_example: Example, { rows, targets }: EncodedText) => ({
    targets,
    weights: new Float32Array(rows.length).fill(1),
  }),
  predict: (_labels, _example, _encoded, values) => ({ likelihood: scoresOf(values) }),
  describe(_labels: readonly string[], _example: Example, _encoded: EncodedExample, values: Float32Array) {
    const { tokens, logProbability } = scoresOf(values);
    return { tokens, logProbability, perplexity: perplexityOf({ tokens, logProbability }) };
  },
  lineOf: ({ tokens, perplexity }: TextLikelihood): string => `perplexity ${perplexity.toFixed(3)} of ${tokens} tokens`,
  review: {
    details: (predictions: readonly Prediction[]) => {
      const { tokens, logProbability } = totalOf(predictions);
      return { metrics: { loss: tokens === 0 ? 0 : -logProbability / tokens } };
    },
  },
} satisfies Partial<TaskKind<TextLikelihood>>;
