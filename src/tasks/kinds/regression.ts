import { opt } from "../../errors.ts";
import { float32 } from "../../graph/tensor.ts";
import { predictedBesideTrue } from "../findings.ts";
import { squaredError } from "../losses/objective.ts";
import { labelsOf, ofLabels } from "../metrics/label-metric.ts";
import { meanSquaredError, pearson, spearman } from "../metrics/metrics.ts";
import { type Cell, cellError, distinctLabels, numberOf } from "../rows.ts";
import type { TaskKind } from "../task-kind.ts";
import { sequenceClassification, textsOf, wholeText } from "../whole-text.ts";

/** A regression's prediction for a text. */
export interface ScoredText {
  value: number;
}

function realOf(cell: Cell): number {
  const real = numberOf(cell);
  if (Number.isFinite(real)) return real;
  const { value } = cell;
  const found = value === undefined || value === null || value === "" ? "no label" : `"${value}" is not a real number`;
  throw cellError(cell, found, "; regression needs one in every row");
}

/** Pairs that suffice to learn from both texts jointly what their vectors show from the start; STS-B has 5,749, and 400 were too few. */
const ENOUGH_PAIRS = 4000;

export const regression: TaskKind<ScoredText> = {
  ...wholeText,
  name: "regression",
  summary: "a real number for each text",
  objective: squaredError,
  metrics: {
    pearson: ofLabels(pearson),
    spearmanr: ofLabels(spearman),
    mean_squared_error: ofLabels(meanSquaredError, false),
  },
  defaultMetrics: ["pearson", "spearmanr", "mean_squared_error"],
  huggingFace: {
    ...sequenceClassification,
    problemType: "regression",
    readme: {
      outputs: () => "The one output is the predicted value.",
      showLogits: () => "console.log(logits.data[0]); // the predicted value",
    },
  },
  recognition: {
    order: 30,
    fitsRows(_texts, labels) {
      const numbers = labels.map(numberOf).filter(Number.isFinite);
      // Most cells suffice: among real numbers, a cell that is not a number is an error to report rather than a class.
      return numbers.length > labels.length / 2 && !numbers.every(Number.isInteger);
    },
    labelsOfHead: (outputs) => (outputs.length === 1 ? [] : undefined),
  },

  outputs: () => 1,
  labelsIn(table, column) {
    distinctLabels(table, column, (cell) => [realOf(cell)]);
    return [];
  },
  exampleOfRow({ label, ...texts }) {
    const example = textsOf(texts);
    return label ? { ...example, label: realOf(label) } : example;
  },
  targets: ({ label }) => ({
    targets: float32([1, 1], Float32Array.of(label!)),
    weights: Float32Array.of(1),
  }),
  predict: (_labels, _example, _encoded, logits) => ({ label: logits[0]! }),
  describe: (_labels, _example, _encoded, logits) => ({ value: logits[0]! }),
  lineOf: ({ value }) => value.toFixed(4),
  review: {
    findings: (predictions, examples) => [predictedBesideTrue(examples, labelsOf(predictions))],
    sameAnswers: (examples) => [{ label: examples.reduce((sum, { label }) => sum + label! / examples.length, 0) }],
  },
  notesOf(examples) {
    if (!examples[0]?.textPair || examples.length >= ENOUGH_PAIRS) return [];
    return [
      `if the numbers are similarities of two texts, ${opt("kind")} embedding needs far fewer rows: it compares the vectors of both, while regression reads both texts together`,
    ];
  },
};
