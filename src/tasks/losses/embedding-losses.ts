import { product } from "../../graph/dimension.ts";
import type { Value } from "../../graph/graph.ts";
import {
  add,
  concat,
  div,
  gemm,
  logSoftmax,
  mul,
  neg,
  reduceSum,
  relu,
  reshape,
  sign,
  slice,
  sqrt,
  sub,
  sumAll,
} from "../../graph/ops.ts";
import { asRow, equal, hide, MASKED } from "../batch-masks.ts";
import type { Objective } from "./objective.ts";

/** Types of examples for embeddings: texts that belong together, pairs with a score or labelled 0 or 1, texts with a class. */
export type EmbeddingRows = "pairs" | "scored" | "labelled" | "classes";

export interface LossSettings {
  /** Whether the loss is symmetric: also from positives to anchors (`multiple-negatives-ranking`). */
  bothDirections?: boolean;
  /** Smallest difference of cosines (`triplet`), or distance beyond which unrelated texts cost nothing (`contrastive`). */
  margin?: number;
}

/** Columns of a target, one row per text: the number of its example, its position in the example (0 for the anchor), its label. */
export const TARGET_WIDTH = 3;

/** Factor of cosines in softmaxes and exponentials: the inverse of a temperature of 0.05. */
const SCALE = 20;
const MARGIN = 0.5;

interface Batch {
  /** Cosines between all texts, `[rows, rows]`. */
  cosines: Value;
  /** Position in its example, label and weight of each text, `[rows, 1]`. */
  place: Value;
  label: Value;
  weights: Value;
  /** 1 if both texts belong to the same example, `[rows, rows]`. */
  together: Value;
}

type Loss = (batch: Batch, settings: LossSettings) => Value;

/** Cosine of each anchor with its positive, `[rows, 1]`. */
const withPositive = ({ cosines, together, place }: Batch): Value =>
  reduceSum(mul(cosines, mul(together, asRow(equal(place, 1)))), [1], true);

/**
 * Cross-entropy of each anchor's positive among all texts of the batch except the anchors (Henderson et al. 2017, arXiv
 * 1705.00652); in both directions, also of its anchor among all anchors.
 */
const multipleNegativesRanking: Loss = ({ cosines, place, weights, together }, { bothDirections }) => {
  const scores = mul(cosines, SCALE);
  const [anchor, positive] = [equal(place, 0), equal(place, 1)];
  const found = logSoftmax(add(scores, hide(asRow(sign(place)))));
  const loss = neg(sumAll(mul(found, mul(mul(together, asRow(positive)), weights))));
  if (!bothDirections) return loss;
  const back = logSoftmax(add(scores, hide(asRow(anchor))));
  const ofAnchors = mul(mul(together, positive), asRow(mul(weights, anchor)));
  return mul(add(loss, neg(sumAll(mul(back, ofAnchors)))), 0.5);
};

/** The positive must be closer than each negative by a margin, in cosines (Schroff et al. 2015, arXiv 1503.03832). */
const triplet: Loss = (batch, { margin = MARGIN }) => {
  const { cosines, place, weights, together } = batch;
  const negatives = mul(together, asRow(sign(relu(sub(place, 1)))));
  const count = reduceSum(negatives, [1], true);
  const excess = relu(add(sub(cosines, withPositive(batch)), margin));
  // An anchor without negatives has a count of 0, which is replaced by 1 to avoid a division by 0.
  return sumAll(mul(mul(excess, negatives), div(weights, add(count, sub(1, sign(count))))));
};

/** Pairs with a higher score must have the higher cosine: log(1 + Σ e^(s_low - s_high)) (CoSENT, Su 2022). */
const cosent: Loss = (batch) => {
  const { place, label } = batch;
  const score = mul(withPositive(batch), SCALE);
  const anchor = equal(place, 0);
  const higher = relu(sign(sub(asRow(label), label)));
  const counts = mul(higher, mul(anchor, asRow(anchor)));
  const leads = add(sub(score, asRow(score)), hide(counts));
  const [rows] = leads.shape as [string];
  const all = concat([leads.graph.constant([0], "float32", [1, 1]), reshape(leads, [1, product([rows, rows])])], 1);
  // e⁰ = 1 is one term of the sum, so the loss is minus the logarithm of its share.
  return neg(sumAll(slice(logSoftmax(all), 1, 0, 1)));
};

/** Pulls related texts together and pushes others apart up to a margin, in 1 - cosine (Hadsell et al. 2006). */
const contrastive: Loss = (batch, { margin = MARGIN }) => {
  const { label, weights } = batch;
  const distance = sub(1, withPositive(batch));
  const apart = relu(sub(margin, distance));
  const each = add(mul(label, mul(distance, distance)), mul(sub(1, label), mul(apart, apart)));
  return mul(sumAll(mul(each, weights)), 0.5);
};

/** Cross-entropy of each text's class members among all texts of the batch (Khosla et al. 2020, arXiv 2004.11362, eq. 2). */
const supervisedContrastive: Loss = ({ cosines, label, weights, together }) => {
  const same = sub(equal(label, asRow(label)), together);
  const count = reduceSum(same, [1], true);
  const found = logSoftmax(add(mul(cosines, SCALE), mul(together, MASKED)));
  return neg(sumAll(mul(mul(found, same), div(weights, add(count, sub(1, sign(count)))))));
};

/**
 * Squared error of cosines, with target 1 for texts of the same class and 0 for others. Both kinds of pairs count equally for each text,
 * as in SetFit's pairs (Tunstall et al. 2022, arXiv 2209.11055; sentence-transformers' CosineSimilarityLoss), but over the whole batch.
 */
const cosineSimilarity: Loss = ({ cosines, label, weights, together }) => {
  const alike = equal(label, asRow(label));
  const off = sub(cosines, alike);
  const squares = mul(off, off);
  const meanOver = (pairs: Value): Value => {
    const count = reduceSum(pairs, [1], true);
    return div(reduceSum(mul(squares, pairs), [1], true), add(count, sub(1, sign(count))));
  };
  const each = add(meanOver(sub(alike, together)), meanOver(sub(1, alike)));
  return mul(sumAll(mul(each, weights)), 0.5);
};

/** Losses by the value of `--loss`, with the types of rows that they fit. The first that fits is the default. */
export const EMBEDDING_LOSSES = {
  "multiple-negatives-ranking": { rows: ["pairs"], loss: multipleNegativesRanking },
  triplet: { rows: ["pairs"], loss: triplet },
  cosent: { rows: ["scored", "labelled"], loss: cosent },
  contrastive: { rows: ["labelled"], loss: contrastive },
  "supervised-contrastive": { rows: ["classes"], loss: supervisedContrastive },
  "cosine-similarity": { rows: ["classes"], loss: cosineSimilarity },
} satisfies Readonly<Record<string, { rows: readonly EmbeddingRows[]; loss: Loss }>>;

export type EmbeddingLoss = keyof typeof EMBEDDING_LOSSES;

/**
 * Objective for embeddings, whose rows are all texts of a batch. With `dimensions`, the sum of the losses of vectors truncated to
 * each size (Matryoshka, Kusupati et al. 2022, arXiv 2205.13147).
 */
export function embeddingObjective(
  name: EmbeddingLoss,
  settings: LossSettings & { dimensions?: readonly number[] },
): Objective {
  const { loss } = EMBEDDING_LOSSES[name];
  return {
    couples: "batch",
    target: () => ({ dtype: "float32", shape: [TARGET_WIDTH] }),
    loss(vectors, targets, weights) {
      const column = (i: number): Value => slice(targets, 1, i, i + 1);
      const example = column(0);
      const batch = {
        place: column(1),
        label: column(2),
        weights,
        together: equal(example, asRow(example)),
      };
      const width = vectors.shape[1] as number;
      const { dimensions = [width] } = settings;
      return dimensions
        .map((size) => loss({ ...batch, cosines: cosinesOf(slice(vectors, 1, 0, size)) }, settings))
        .reduce((sum, each) => add(sum, each));
    },
  };
}

/** `[rows, width]` → `[rows, rows]` */
function cosinesOf(vectors: Value): Value {
  const unit = div(vectors, sqrt(add(reduceSum(mul(vectors, vectors), [1], true), 1e-24)));
  return gemm(unit, unit, { transB: true });
}
