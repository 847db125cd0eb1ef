import type { TaskData } from "./example.ts";
import { classification } from "./kinds/classification.ts";
import { regression } from "./kinds/regression.ts";

export type GlueTask = Pick<TaskData, "kind" | "labels" | "metrics">;

const entailment = ["entailment", "not_entailment"];

const classes = (labels: string[], metrics: string[]): GlueTask => ({
  kind: classification.name,
  labels,
  metrics,
});

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

export function glueTaskName(name: string): string {
  return name.toLowerCase().replace(/[-_]/g, "");
}
