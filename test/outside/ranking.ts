import { z } from "zod";
import {
  type Example,
  type Metric,
  type Objective,
  ops,
  type Prediction,
  rows,
  sequenceClassification,
  type TaskKind,
  textsOf,
  type Value,
  wholeText,
} from "../../src/extend.ts";
import { UserError } from "../../src/index.ts";

/** What a ranking says of a text. */
export interface RankedText {
  /** Higher than that of a text that ranks lower. */
  score: number;
}

const options = z.object({
  steepness: z.number().positive().default(1).describe("factor of the differences of scores in the loss"),
});

declare module "../../src/extend.ts" {
  interface TaskPredictions {
    ranking: RankedText;
  }
  interface TaskOptions {
    steepness?: number | undefined;
  }
}

/** Each text of a batch is compared with every other (RankNet, Burges et al. 2005): log(1 + e^(s_low - s_high)), summed. */
const pairwise = (steepness: number): Objective => ({
  couples: "batch",
  target: (outputs) => ({ dtype: "float32", shape: [outputs] }),
  loss(scores, targets, weights) {
    const lead = (x: Value) => ops.sub(x, ops.transpose(x, [1, 0]));
    // 1 where the row's text ranks above the column's.
    const above = ops.relu(ops.sign(lead(targets)));
    const losses = ops.softplus(ops.mul(lead(scores), -steepness));
    return ops.sumAll(ops.mul(ops.mul(above, losses), weights));
  },
});

const orderedPairs: Metric = {
  higherIsBetter: true,
  compute(predictions: readonly Prediction[], examples: readonly Example[]) {
    const pairs = examples.flatMap((high, i) =>
      examples.flatMap((low, j) => (high.label! > low.label! ? [predictions[i]!.label! > predictions[j]!.label!] : [])),
    );
    return pairs.length > 0 ? pairs.filter(Boolean).length / pairs.length : 0;
  },
};

/** A made-up kind: texts are put into an order that numbers give, whatever their distances. */
export const ranking: TaskKind<RankedText, typeof options> = {
  ...wholeText,
  name: "ranking",
  summary: "an order of the texts",
  options,
  objective: pairwise(1),
  objectiveFor: ({ steepness }) => pairwise(Number(steepness)),
  metrics: { ordered_pairs: orderedPairs },
  defaultMetrics: ["ordered_pairs"],
  huggingFace: {
    ...sequenceClassification,
    problemType: "regression",
    readme: {
      outputs: () => "The one output is higher the higher a text ranks.",
      showLogits: () => "console.log(logits.data[0]); // the higher, the higher the text ranks",
    },
  },

  outputs: () => 1,
  labelsIn: () => [],
  exampleOfRow({ label, ...texts }) {
    const example = textsOf(texts);
    if (!label) return example;
    const rank = rows.numberOf(label);
    if (!Number.isFinite(rank))
      throw new UserError(`${label.place}: column "${label.column}" has no number to rank by`);
    return { ...example, label: rank };
  },
  targets: ({ label }) => ({
    targets: { dtype: "float32", shape: [1, 1], data: Float32Array.of(label!) },
    weights: Float32Array.of(1),
  }),
  predict: (_labels, _example, _encoded, logits) => ({ label: logits[0]! }),
  describe: (_labels, _example, _encoded, logits) => ({ score: logits[0]! }),
  lineOf: ({ score }) => score.toFixed(3),
};
