import type { EvaluationSplit, TaskData } from "../tasks/example.ts";
import { computeMetrics } from "../tasks/examples.ts";
import type { TrainingExample } from "../tasks/task-kind.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import type { EvaluationLoss } from "./evaluation-loss.ts";
import type { Predictor } from "./predictor.ts";

/** A split to evaluate on: its examples as read and as encoded, in one order. */
export interface EncodedSplit extends EvaluationSplit {
  encoded: readonly TrainingExample[];
}

export interface Evaluation {
  /** Of several splits, `<metric>_matched` and the like. */
  metrics: Record<string, number>;
  /** Mean over all examples, or over all words. */
  loss: number;
}

/** Metrics and mean loss of a model on a task's splits. */
export async function evaluate(
  predictor: Predictor,
  objective: EvaluationLoss,
  task: Pick<TaskData, "kind" | "labels" | "metrics">,
  splits: readonly EncodedSplit[],
): Promise<Evaluation> {
  const metrics: Record<string, number> = {};
  const kind = findTaskKind(task.kind);
  const allLogits: Float32Array[] = [];
  for (const { name, examples, encoded } of splits) {
    const logits = await predictor.logits(encoded);
    const predictions = logits.map((values, i) => kind.predict(task.labels, examples[i]!, encoded[i]!, values));
    const suffix = splits.length > 1 ? `_${name.replace("validation_", "")}` : "";
    for (const [metric, value] of Object.entries(computeMetrics(task, predictions, examples))) {
      metrics[metric + suffix] = value;
    }
    allLogits.push(...logits);
  }
  const loss = await objective.mean(
    allLogits,
    splits.flatMap(({ encoded }) => encoded),
  );
  return { metrics, loss };
}
