import { UserError } from "../../errors.ts";
import { gemm, mul, neg, slice, softplus, sub, sumAll } from "../../graph/ops.ts";
import type { Encoding, Tokenizer } from "../../inputs/tokenizer.ts";
import { asRow, equal } from "../batch-masks.ts";
import type { Example, Prediction } from "../example.ts";
import { wrongPairs } from "../findings.ts";
import type { Objective } from "../losses/objective.ts";
import { preferenceExamples, withAnswer } from "../preference-rows.ts";
import { listTargets, scoredPairs } from "../scored-pairs.ts";
import type { Metric, TaskKind } from "../task-kind.ts";
import { sequenceClassification } from "../whole-text.ts";
import { writtenText } from "../written-text.ts";

/** Reward of an answer to a prompt. */
export interface RewardedText {
  /** Output of the model; higher is better, and only differences are meaningful. */
  reward: number;
}

/**
 * Loss that gives the chosen answer the higher reward: `-log σ(r_chosen - r_rejected)` (Bradley and Terry 1952, as in arXiv 2203.02155,
 * eq. 1). A target is the number of its example and the answer's position in it, 0 for the chosen one.
 */
const bradleyTerry: Objective = {
  couples: "nothing",
  target: () => ({ dtype: "float32", shape: [2] }),
  loss(rewards, targets, weights) {
    const example = slice(targets, 1, 0, 1);
    const sign = sub(1, mul(slice(targets, 1, 1, 2), 2));
    const margin = gemm(equal(example, asRow(example)), mul(rewards, sign));
    return sumAll(mul(softplus(neg(margin)), weights));
  },
};

/** Encodes a prompt with its answer: as a conversation if the model has a chat template, otherwise as a pair of texts. */
function encodedAnswer(example: Example, tokenizer: Tokenizer, maxLength: number): Encoding {
  const { text, textPair, messages } = example;
  if (!messages && (!tokenizer.chatTemplate || textPair === undefined))
    return tokenizer.encode(text, textPair, maxLength);
  const { ids } = writtenText(example, tokenizer, "all");
  // The answer is what counts, so a text that is too long loses its beginning.
  const inputIds = Int32Array.from(ids.slice(-maxLength));
  return { inputIds, tokenTypeIds: new Int32Array(inputIds.length), cut: ids.length > maxLength };
}

const ofMargins = (compute: (margin: number) => number): Metric => ({
  higherIsBetter: true,
  compute: (predictions) =>
    predictions.reduce((sum, prediction) => sum + compute(marginOf(prediction)), 0) / predictions.length,
});

const marginOf = ({ vectors }: Prediction): number => vectors![0]![0]! - (vectors![1]?.[0] ?? 0);

function answerText(example: Example, which: number): string {
  const { textPair, messages } = withAnswer(example, which);
  return textPair ?? messages?.at(-1)?.content ?? "";
}

export const reward: TaskKind<RewardedText> = {
  ...scoredPairs,
  name: "reward",
  summary: "a score for an answer to a prompt, learned from pairs of answers (a reward model)",
  rewards: true,
  objective: bradleyTerry,
  recipe: { epochs: 3, batchSize: 8, maxLength: 1024 },
  huggingFace: {
    ...sequenceClassification,
    problemType: null,
    readme: {
      outputs: () => "The one output is a reward: of two answers to a prompt, the better one has the higher.",
      showLogits: () => "console.log(logits.data[0]); // reward",
    },
  },
  metrics: {
    reward_accuracy: ofMargins((margin) => (Math.sign(margin) + 1) / 2),
    reward_margin: ofMargins((margin) => margin),
  },
  defaultMetrics: ["reward_accuracy", "reward_margin"],
  review: {
    findings: (predictions, examples) =>
      wrongPairs(
        "Pairs whose rejected answer has the higher reward, the largest margin first",
        ["prompt", "chosen", "rejected"],
        examples.map((example, i) => ({
          text: example.text,
          better: answerText(example, 0),
          worse: answerText(example, 1),
          margin: -marginOf(predictions[i]!),
        })),
      ),
    sameAnswers: () => [{ label: 0, vectors: [Float32Array.of(0), Float32Array.of(0)] }],
  },
  table: {
    read(table, columns) {
      const { rows, examples } = preferenceExamples(table, columns);
      if (rows === "pairs") return { examples, labels: [], metrics: [...reward.defaultMetrics], options: {} };
      throw new UserError(
        `${table.source}: a reward model needs two answers to each prompt; name them chosen and rejected`,
      );
    },
  },

  exampleOfInput: ({ text, textPair }) => ({ text, ...(textPair !== undefined && { textPair }) }),
  encode(example, tokenizer, maxLength) {
    const { index, texts = [] } = example;
    const [own, ...others] = [undefined, ...texts].map((_, which) =>
      encodedAnswer(withAnswer(example, which), tokenizer, maxLength),
    );
    return { index, encoding: own!, ...(others.length > 0 && { texts: others.map((encoding) => ({ encoding })) }) };
  },
  targets: ({ index, texts = [] }) => listTargets(index, 1 + texts.length),
  describe: (_labels, _example, _encoded, logits) => ({ reward: logits[0]! }),
  lineOf: (output) => output.reward.toFixed(4),
};
