import {
  binaryCrossEntropy,
  type Prediction,
  rows,
  sequenceClassification,
  type TaskKind,
  textsOf,
  wholeText,
} from "../../src/extend.ts";

/** An ordinal regression's prediction for a text. */
export interface LevelledText {
  level: string;
  /** Probability that the level is above each level except the last. */
  above: number[];
}

declare module "../../src/extend.ts" {
  interface TaskPredictions {
    "ordinal-regression": LevelledText;
  }
}

const levelOf = (logits: Float32Array): number => logits.filter((logit) => logit > 0).length;

/** A level on an ordered scale for each text: one output per step up is the probability of taking it (Frank and Hall 2001). */
export const ordinalRegression: TaskKind<LevelledText> = {
  ...wholeText,
  name: "ordinal-regression",
  summary: "a level of an ordered scale for each text",
  objective: binaryCrossEntropy,
  metrics: {
    mean_absolute_error: {
      higherIsBetter: false,
      compute(predictions, examples) {
        const levels = (all: readonly Prediction[]) => all.map(({ label }) => label!);
        const [found, truth] = [levels(predictions), levels(examples)];
        return truth.reduce((sum, level, i) => sum + Math.abs(level - found[i]!), 0) / truth.length;
      },
    },
  },
  defaultMetrics: ["mean_absolute_error"],
  huggingFace: {
    ...sequenceClassification,
    problemType: "multi_label_classification",
    readme: { outputs: (names) => `Whether the level is above each of ${names.join(", ")}.` },
  },

  outputs: (labels) => labels.length - 1,
  labelsIn: (table, column) => rows.distinctLabels(table, column, (cell) => [rows.labelNameOf(cell)]),
  exampleOfRow({ label, ...texts }, labels) {
    const example = textsOf(texts);
    return label ? { ...example, label: rows.labelIndex(label, rows.labelNameOf(label), labels) } : example;
  },
  targets({ label }, _encoded, labels) {
    const data = Float32Array.from(labels.slice(1), (_, step) => Number(label! > step));
    return { targets: { dtype: "float32", shape: [1, data.length], data }, weights: Float32Array.of(1) };
  },
  predict: (_labels, _example, _encoded, logits) => ({ label: levelOf(logits) }),
  describe: (labels, _example, _encoded, logits) => ({
    level: labels[levelOf(logits)]!,
    above: Array.from(logits, (logit) => 1 / (1 + Math.exp(-logit))),
  }),
  lineOf: ({ level }) => level,
};
