import { z } from "zod";
import { float32 } from "../../graph/tensor.ts";
import type { Prediction } from "../example.ts";
import { type Finding, lineOfExample, MOST_SHOWN, scoresPerClass } from "../findings.ts";
import { binaryCrossEntropy } from "../losses/objective.ts";
import { type Counts, macroF1, microF1, multiLabelCounts } from "../metrics/metrics.ts";
import { type LabelProbability, lineOf, ranked, sigmoid } from "../probabilities.ts";
import { type Cell, cellError, distinctLabels, labelIndex, labelNameOf } from "../rows.ts";
import type { Metric, TaskKind, TaskOptionValues } from "../task-kind.ts";
import { sequenceClassification, textsOf, wholeText } from "../whole-text.ts";

/** A prediction for a text that may have any number of labels. */
export interface MultiLabelledText {
  /** Every label, likeliest first. */
  labels: LabelProbability[];
  /** Labels whose probability exceeds the model's threshold. */
  predicted: string[];
}

/** Reads label names from an array, or a text separated by semicolons; none if the cell is empty. */
function namesOf(cell: Cell): string[] {
  const { value } = cell;
  if (value === undefined) throw cellError(cell, "no label");
  const names: unknown[] = Array.isArray(value) ? value : String(value ?? "").split(";");
  return names.filter((name) => name !== null && String(name).trim() !== "").map((name) => labelNameOf(cell, name));
}

const ofCounts = (compute: (counts: Counts[]) => number): Metric => ({
  higherIsBetter: true,
  compute(predictions, examples, labels) {
    const sets = (all: readonly Prediction[]) => all.map((each) => each.labels!);
    return compute(multiLabelCounts(sets(predictions), sets(examples), labels.length));
  },
});

const options = z.object({
  labelThreshold: z
    .number()
    .gt(0)
    .lt(1)
    .optional()
    .describe("probability above which a text has a label (default: by cross-validation of the fitted head, or 0.5)"),
});

const thresholdOf = ({ labelThreshold }: TaskOptionValues = {}): number =>
  (labelThreshold as number | undefined) ?? 0.5;

const logitOf = (probability: number): number => Math.log(probability / (1 - probability));

function labelsBy(logits: Float32Array, options: TaskOptionValues | undefined): number[] {
  const least = logitOf(thresholdOf(options));
  return [...logits.keys()].filter((i) => logits[i]! > least);
}

/**
 * Probability threshold for labels that maximizes the expected F1: half of that F1 (Lipton et al. 2014, arXiv
 * 1402.1892). With few examples, few labels have a probability above one half, although texts do have labels.
 */
export function bestThreshold(probabilities: readonly number[]): number {
  const all = probabilities.reduce((sum, each) => sum + each, 0);
  let [found, best] = [0, 0];
  probabilities
    .toSorted((a, b) => b - a)
    .forEach((probability, i) => {
      found += probability;
      best = Math.max(best, (2 * found) / (i + 1 + all));
    });
  return best / 2;
}

export const multiLabel: TaskKind<MultiLabelledText, typeof options> = {
  ...wholeText,
  name: "multi-label",
  summary: "any number of labels for each text",
  objective: binaryCrossEntropy,
  metrics: { micro_f1: ofCounts(microF1), macro_f1: ofCounts(macroF1) },
  defaultMetrics: ["micro_f1", "macro_f1"],
  huggingFace: {
    ...sequenceClassification,
    problemType: "multi_label_classification",
    readme: {
      outputs: (names, options) =>
        `Labels in order: ${names.join(", ")}. A text has those whose probability is above ${thresholdOf(options).toFixed(2)}.`,
      pipelineCall: 'classify("a text", { top_k: null })',
      showLogits: (names) => `console.log([...logits.sigmoid().data]); // probability of ${names.join(", ")}`,
    },
  },
  recognition: {
    order: 20,
    fitsRows: (_texts, labels) => labels.some(({ value }) => Array.isArray(value)),
    labelsOfHead: (outputs, problemType) =>
      problemType === "multi_label_classification" && outputs.length > 1 ? [...outputs] : undefined,
  },

  options,
  threshold: {
    fitted: (logits) => ({ labelThreshold: bestThreshold(logits.flatMap((row) => [...sigmoid(row)])) }),
    withTemperature: (given, temperature) => ({
      ...given,
      labelThreshold: sigmoid(Float32Array.of(logitOf(thresholdOf(given)) / temperature))[0]!,
    }),
  },
  outputs: (labels) => labels.length,
  labelsIn: (table, column) => distinctLabels(table, column, namesOf, 1),
  exampleOfRow({ label, ...texts }, labels) {
    const example = textsOf(texts);
    if (!label) return example;
    const indices = new Set(namesOf(label).map((name) => labelIndex(label, name, labels)));
    return { ...example, labels: [...indices].sort((a, b) => a - b) };
  },
  targets(example, _encoded, labels) {
    const targets = float32([1, labels.length]);
    for (const label of example.labels!) targets.data[label] = 1;
    return { targets, weights: Float32Array.of(1) };
  },
  predict: (_labels, _example, _encoded, logits, given) => ({ labels: labelsBy(logits, given) }),
  describe: (labels, _example, _encoded, logits, given) => ({
    labels: ranked(labels, sigmoid(logits)),
    predicted: labelsBy(logits, given).map((i) => labels[i]!),
  }),
  // As a cell of a training file names several labels.
  cellsOf: ({ predicted }) => ({ labels: predicted.join(";") }),
  review: {
    findings(predictions, examples, labels) {
      const sets = (all: readonly Prediction[]) => all.map((each) => each.labels!);
      const counts = multiLabelCounts(sets(predictions), sets(examples), labels.length);
      const named = (indices: readonly number[]): string => indices.map((i) => labels[i]!).join("; ") || "none";
      const wrong = examples.flatMap((example, i) => {
        const [truth, found] = [example.labels!, predictions[i]!.labels!];
        const wrongs = [...truth, ...found].filter((label) => truth.includes(label) !== found.includes(label)).length;
        return wrongs === 0 ? [] : [{ wrongs, row: [lineOfExample(example), named(truth), named(found), wrongs] }];
      });
      const mistakes: Finding = {
        title: "Texts with the most wrong labels",
        columns: ["text", "true labels", "answer", "wrong labels"],
        rows: wrong.sort((a, b) => b.wrongs - a.wrongs).map(({ row }) => row),
        most: MOST_SHOWN,
      };
      const perLabel = scoresPerClass("label", new Map(counts.map((each, i) => [labels[i]!, each])));
      return wrong.length === 0 ? [perLabel] : [mistakes, perLabel];
    },
  },
  lineOf: ({ labels, predicted }) => lineOf(labels.filter(({ label }) => predicted.includes(label))),
};
