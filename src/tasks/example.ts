/** What a task predicts for one example. */
export type TaskKind = "classification" | "regression" | "multi-label" | "token-classification";

/** One row of a data set. */
export interface Example {
  /** Position in its split, from 0: stable across epochs, so that dropout can be drawn per example. */
  index: number;
  text: string;
  /** Second sentence of a pair. */
  textPair?: string;
  /** The words of `text`, which joins them by spaces: token classification only. */
  words?: string[];
  /** Class index into `TaskData.labels`, or the real value for regression. Absent where the data has no labels. */
  label?: number;
  /** Class indices: of multi-label those that hold, ascending; of token classification one per word. */
  labels?: number[];
}

/** A named list of examples to evaluate on: MNLI has two, every other task one. */
export interface EvaluationSplit {
  /** `validation`, `validation_matched`, `validation_mismatched`. */
  name: string;
  examples: Example[];
}

/** A task read into memory. */
export interface TaskData {
  /** GLUE's lower-case name (`cola`, `sst2`, …) or `custom`. */
  name: string;
  kind: TaskKind;
  /** Class names in label order; empty for regression. */
  labels: string[];
  train: Example[];
  validation: EvaluationSplit[];
  /** Metrics in Hugging Face's names, in the order shown; the first is the one that picks the best epoch. */
  metrics: MetricName[];
}

export type MetricName =
  | "accuracy"
  | "f1"
  | "macro_f1"
  | "micro_f1"
  | "precision"
  | "recall"
  | "matthews_correlation"
  | "pearson"
  | "spearmanr"
  | "mean_squared_error";
