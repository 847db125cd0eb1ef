import type { TaskData } from "./example.ts";
import { classification } from "./kinds/classification.ts";
import { regression } from "./kinds/regression.ts";

/** Kind, labels and metrics of a GLUE task, with the names of Hugging Face's `glue` data set. */
export type GlueTask = Pick<TaskData, "kind" | "labels" | "metrics">;

const entailment = ["entailment", "not_entailment"];

const classes = (labels: string[], metrics: string[]): GlueTask => ({
  kind: classification.name,
  labels,
  metrics,
});

/** GLUE tasks by lower-case name; the first metric selects the best epoch. */
export const GLUE_TASKS: ReadonlyMap<string, GlueTask> = new Map([
  ["cola", classes(["unacceptable", "acceptable"], ["matthews_correlation"])],
  ["sst2", classes(["negative", "positive"], ["accuracy"])],
  // The paper selects MRPC's best epoch by F1.
  ["mrpc", classes(["not_equivalent", "equivalent"], ["f1", "accuracy"])],
  ["stsb", { kind: regression.name, labels: [], metrics: ["pearson", "spearmanr"] }],
  ["rte", classes(entailment, ["accuracy"])],
  ["qnli", classes(entailment, ["accuracy"])],
  ["mnli", classes(["entailment", "neutral", "contradiction"], ["accuracy"])],
  ["qqp", classes(["not_duplicate", "duplicate"], ["accuracy", "f1"])],
]);

/** `STS-B` → `stsb`. */
export function glueTaskName(name: string): string {
  return name.toLowerCase().replace(/[-_]/g, "");
}
