import type { EvaluationSplit, TaskData } from "../tasks/example.ts";
import { computeMetrics, predictionOf } from "../tasks/metrics.ts";
import { rowLoss } from "./objective.ts";
import type { Predictor } from "./predictor.ts";
import { labelCountFor, OBJECTIVES, type TrainingExample } from "./training-example.ts";

/** A split to evaluate on: its examples as read and as encoded, in one order. */
export interface EncodedSplit extends EvaluationSplit {
  encoded: readonly TrainingExample[];
}

export interface Evaluation {
  /** Of several splits, `<metric>_matched` and the like. */
  metrics: Record<string, number>;
  /** Mean over all examples. */
  loss: number;
}

/** Metrics and mean loss of a model on a task's splits. */
export async function evaluate(
  predictor: Predictor,
  task: Pick<TaskData, "kind" | "labels" | "metrics">,
  splits: readonly EncodedSplit[],
): Promise<Evaluation> {
  const metrics: Record<string, number> = {};
  let loss = 0;
  let count = 0;
  for (const { name, examples, encoded } of splits) {
    const logits = await predictor.logits(encoded.map(({ encoding }) => encoding));
    const predictions = logits.map((row) => predictionOf(task.kind, row, labelCountFor(task)));
    const suffix = splits.length > 1 ? `_${name.replace("validation_", "")}` : "";
    for (const [metric, value] of Object.entries(computeMetrics(task, predictions, examples))) {
      metrics[metric + suffix] = value;
    }
    logits.forEach((row, i) => {
      loss += rowLoss(OBJECTIVES[task.kind], row, encoded[i]!.targets);
    });
    count += logits.length;
  }
  return { metrics, loss: loss / count };
}
