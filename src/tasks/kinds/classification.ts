import { UserError } from "../../errors.ts";
import { float32 } from "../../graph/tensor.ts";
import type { Example, Prediction } from "../example.ts";
import { classOptions } from "../losses/class-weights.ts";
import { crossEntropy } from "../losses/objective.ts";
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

/** What a classifier says of a text. */
export interface ClassifiedText {
  /** The likeliest; `unsure` where it is less likely than is asked for, `none of these` where the text is unlike those of all classes. */
  label: string;
  /** Every label, likeliest first. */
  labels: LabelProbability[];
  /** How unlike the texts of all classes it is, where that is asked for: usual ones are around 0. */
  novelty?: number;
}

/** Rows from which on labels that are all different are no classes, but the wrong column. */
const SURELY_NO_CLASSES = 10;

/** Of a list of labelled things, the classes. */
const classes = (all: readonly Prediction[]): number[] => all.map(({ label }) => label!);

function countsOf(predictions: readonly Prediction[], examples: readonly Example[], labels: readonly string[]) {
  return classCounts(classes(predictions), classes(examples), labels.length);
}

/** Classes of which a table of all by all can still be read. */
const MOST_IN_TABLE = 100;

const occurs = ({ truePositives, falsePositives, falseNegatives }: Counts): boolean =>
  truePositives + falsePositives + falseNegatives > 0;

/** A metric of the counts of each class; `present` are those that occur in predictions or examples. */
const ofCounts = (compute: (all: Counts[], present: Counts[]) => number): Metric => ({
  higherIsBetter: true,
  compute(predictions, examples, labels) {
    const all = countsOf(predictions, examples, labels);
    return compute(all, all.filter(occurs));
  },
});

/** Each text has one class. */
export const classification: TaskKind<ClassifiedText, typeof classOptions> = {
  ...wholeText,
  name: "classification",
  summary: "one class for each text",
  options: classOptions,
  objective: crossEntropy,
  metrics: {
    accuracy: {
      higherIsBetter: true,
      compute: (predictions, examples) => accuracy(classes(predictions), classes(examples)),
    },
    // As scikit-learn's: classes that occur in neither are left out, and of two classes the second is the positive one.
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
    // Whatever nothing else is.
    order: Number.POSITIVE_INFINITY,
    fitsRows: () => true,
    labelsOfHead: (outputs) => [...outputs],
  },

  outputs: (labels) => labels.length,
  labelsIn(table, column) {
    const labels = distinctLabels(table, column, (cell) => [labelNameOf(cell)]);
    const { length } = table.rows;
    if (labels.length === length && length >= SURELY_NO_CLASSES) {
      throw new UserError(
        `${table.source}: ${length} texts with ${length} labels in column "${column}": is it the right column? Name the one of the labels with --label; numbers may be meant for --kind regression`,
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
  predict: (_labels, _example, _encoded, logits) => ({ label: argmax(logits) }),
  describe(labels, _example, _encoded, logits) {
    const all = ranked(labels, softmax(logits));
    return { label: all[0]!.label, labels: all };
  },
  lineOf({ label, labels }) {
    const likeliest = lineOf(labels.slice(0, 1));
    return label === labels[0]!.label ? likeliest : `${label} (${likeliest})`;
  },
  detailsOf(predictions, examples, labels) {
    const metrics = { macro_f1: macroF1(countsOf(predictions, examples, labels).filter(occurs)) };
    if (labels.length > MOST_IN_TABLE) return { metrics };
    return { metrics, confusion: confusionMatrix(classes(predictions), classes(examples), labels.length) };
  },
  // The most frequent class has the best accuracy; F1 of two classes may be that of the other.
  sameAnswers: (examples, labels) =>
    countsOf(examples, examples, labels)
      .map(({ truePositives: count }, label) => ({ label, count }))
      .toSorted((a, b) => b.count - a.count)
      .slice(0, 2)
      .map(({ label }) => ({ label })),
  stratumOf: ({ label }) => label!,
  classesOf: ({ label }) => [label!],
};
