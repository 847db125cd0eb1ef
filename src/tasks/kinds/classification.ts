import { opt, UserError } from "../../errors.ts";
import { float32 } from "../../graph/tensor.ts";
import type { Example, Prediction } from "../example.ts";
import { type Finding, lineOfExample, MOST_SHOWN, rounded, scoresPerClass } from "../findings.ts";
import { classOptions } from "../losses/class-weights.ts";
import { crossEntropy } from "../losses/objective.ts";
import { labelsOf, ofLabels } from "../metrics/label-metric.ts";
import {
  accuracy,
  type Counts,
  classCounts,
  confusionMatrix,
  f1Of,
  macroF1,
  matthewsCorrelation,
  microF1,
} from "../metrics/metrics.ts";
import { argmax, type LabelProbability, lineOf, ranked, softmax } from "../probabilities.ts";
import { distinctLabels, labelIndex, labelNameOf } from "../rows.ts";
import type { Metric, TaskKind } from "../task-kind.ts";
import { sequenceClassification, textsOf, wholeText } from "../whole-text.ts";

/** A classifier's prediction for a text. */
export interface ClassifiedText {
  /** The likeliest label; `unsure` below the requested probability, `none of these` if the text is unlike those of all classes. */
  label: string;
  /** Every label, likeliest first. */
  labels: LabelProbability[];
  /** Novelty of the text compared with those of all classes, if requested: usual texts are around 0. */
  novelty?: number;
}

const WRONG_COLUMN_ROWS = 10;

function countsOf(predictions: readonly Prediction[], examples: readonly Example[], labels: readonly string[]) {
  return classCounts(labelsOf(predictions), labelsOf(examples), labels.length);
}

interface Mistake {
  example: Example;
  truth: string;
  answer: string;
  probability: number;
}

function confusedPairs(mistakes: readonly Mistake[]): Finding {
  const pairs = new Map<string, [truth: string, answer: string, count: number]>();
  for (const { truth, answer } of mistakes) {
    const key = JSON.stringify([truth, answer]);
    const [, , count] = pairs.get(key) ?? [truth, answer, 0];
    pairs.set(key, [truth, answer, count + 1]);
  }
  return {
    title: "Most confused labels",
    columns: ["true label", "answer", "examples"],
    rows: [...pairs.values()].sort((a, b) => b[2] - a[2]),
    most: MOST_SHOWN,
  };
}

const surestMistakes = (mistakes: readonly Mistake[]): Finding => ({
  title: "Surest wrong answers",
  columns: ["text", "true label", "answer", "probability"],
  rows: mistakes
    .toSorted((a, b) => b.probability - a.probability)
    .map(({ example, truth, answer, probability }) => [lineOfExample(example), truth, answer, rounded(probability)]),
  most: MOST_SHOWN,
});

const MAX_CONFUSION_CLASSES = 100;

const occurs = ({ truePositives, falsePositives, falseNegatives }: Counts): boolean =>
  truePositives + falsePositives + falseNegatives > 0;

/** A metric computed from the counts of each class; `present` are those that occur in predictions or examples. */
const ofCounts = (compute: (all: Counts[], present: Counts[]) => number): Metric => ({
  higherIsBetter: true,
  compute(predictions, examples, labels) {
    const all = countsOf(predictions, examples, labels);
    return compute(all, all.filter(occurs));
  },
});

export const classification: TaskKind<ClassifiedText, typeof classOptions> = {
  ...wholeText,
  name: "classification",
  summary: "one class for each text",
  options: classOptions,
  objective: crossEntropy,
  metrics: {
    accuracy: ofLabels(accuracy),
    // As in scikit-learn: classes that occur in neither are left out, and the second of two classes is the positive one.
    macro_f1: ofCounts((_, present) => macroF1(present)),
    micro_f1: ofCounts((_, present) => microF1(present)),
    f1: ofCounts((all) => f1Of(all[1]!)),
    matthews_correlation: {
      higherIsBetter: true,
      compute: (...given) => matthewsCorrelation(countsOf(...given)),
    },
  },
  defaultMetrics: ["accuracy", "macro_f1"],
  huggingFace: {
    ...sequenceClassification,
    problemType: "single_label_classification",
    readme: {
      outputs: (names) => `Labels in order: ${names.join(", ")}.`,
      pipelineCall: 'classify("a text")',
      showLogits: (names) => `console.log(logits.tolist()[0]); // scores of ${names.join(", ")}`,
    },
  },
  recognition: {
    // The fallback, if no other kind fits.
    order: Number.POSITIVE_INFINITY,
    fitsRows: () => true,
    labelsOfHead: (outputs) => [...outputs],
  },

  outputs: (labels) => labels.length,
  labelsIn(table, column) {
    const labels = distinctLabels(table, column, (cell) => [labelNameOf(cell)]);
    const { length } = table.rows;
    if (labels.length === length && length >= WRONG_COLUMN_ROWS) {
      throw new UserError(
        `${table.source}: ${length} texts with ${length} labels in column "${column}": is this the right column? Name the label column with ${opt("label")}; for numbers, use ${opt("kind")} regression`,
      );
    }
    return labels;
  },
  exampleOfRow({ label, ...texts }, labels) {
    const example = textsOf(texts);
    return label ? { ...example, label: labelIndex(label, labelNameOf(label), labels) } : example;
  },
  targets({ label }, _encoded, labels, classWeights) {
    const targets = float32([1, labels.length]);
    targets.data[label!] = 1;
    return { targets, weights: Float32Array.of(classWeights?.[label!] ?? 1) };
  },
  predict(_labels, _example, _encoded, logits) {
    const label = argmax(logits);
    return { label, probability: softmax(logits)[label]! };
  },
  describe(labels, _example, _encoded, logits) {
    const all = ranked(labels, softmax(logits));
    return { label: all[0]!.label, labels: all };
  },
  lineOf({ label, labels }) {
    const likeliest = lineOf(labels.slice(0, 1));
    return label === labels[0]!.label ? likeliest : `${label} (${likeliest})`;
  },
  cellsOf: ({ labels, ...output }) => ({ ...output, probability: labels[0]!.probability }),
  choosesClass: true,
  review: {
    details(predictions, examples, labels) {
      const metrics = { macro_f1: macroF1(countsOf(predictions, examples, labels).filter(occurs)) };
      if (labels.length > MAX_CONFUSION_CLASSES) return { metrics };
      return { metrics, confusion: confusionMatrix(labelsOf(predictions), labelsOf(examples), labels.length) };
    },
    findings(predictions, examples, labels) {
      const counts = countsOf(predictions, examples, labels).map((each, i) => [labels[i]!, each] as const);
      const perClass = scoresPerClass("label", new Map(counts.filter(([, each]) => occurs(each))));
      const wrong = examples.flatMap((example, i) => {
        const { label, probability = 0 } = predictions[i]!;
        return label === example.label
          ? []
          : [{ example, truth: labels[example.label!]!, answer: labels[label!]!, probability }];
      });
      return wrong.length === 0 ? [perClass] : [confusedPairs(wrong), surestMistakes(wrong), perClass];
    },
    // The most frequent class has the best accuracy; of two classes, the other one may have the better F1.
    sameAnswers: (examples, labels) =>
      countsOf(examples, examples, labels)
        .map(({ truePositives: count }, label) => ({ label, count }))
        .toSorted((a, b) => b.count - a.count)
        .slice(0, 2)
        .map(({ label }) => ({ label })),
  },
  stratumOf: ({ label }) => label!,
  classesOf: ({ label }) => [label!],
};
