import { float32 } from "../../graph/tensor.ts";
import type { Prediction } from "../example.ts";
import { binaryCrossEntropy } from "../losses/objective.ts";
import { type Counts, macroF1, microF1, multiLabelCounts } from "../metrics/metrics.ts";
import { type LabelProbability, lineOf, ranked, sigmoid } from "../probabilities.ts";
import { type Cell, cellError, distinctLabels, labelIndex, labelNameOf } from "../rows.ts";
import type { Metric, TaskKind } from "../task-kind.ts";
import { sequenceClassification, textsOf, wholeText } from "../whole-text.ts";

/** What is said of a text that may have any number of labels. */
export interface MultiLabelledText {
  /** Every label, likeliest first; those above one half are predicted. */
  labels: LabelProbability[];
}

/** Names in an array, or parted by semicolons; none where the cell is empty. */
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

/** Each text has any number of labels, or none. */
export const multiLabel: TaskKind<MultiLabelledText> = {
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
      outputs: (names) => `Labels in order: ${names.join(", ")}.`,
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
  predict: (labels, _example, _encoded, logits) => ({ labels: [...labels.keys()].filter((i) => logits[i]! > 0) }),
  describe: (labels, _example, _encoded, logits) => ({ labels: ranked(labels, sigmoid(logits)) }),
  lineOf: ({ labels }) => lineOf(labels.filter(({ probability }) => probability > 0.5)),
};
