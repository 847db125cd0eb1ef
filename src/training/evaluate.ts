import type { EvaluationSplit, TaskData } from "../tasks/example.ts";
import { computeMetrics } from "../tasks/metrics.ts";
import { rowLoss } from "./objective.ts";
import type { Predictor } from "./predictor.ts";
import { labelCountFor, OBJECTIVES, predictionFor, type TrainingExample } from "./training-example.ts";

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
  task: Pick<TaskData, "kind" | "labels" | "metrics">,
  splits: readonly EncodedSplit[],
): Promise<Evaluation> {
  const metrics: Record<string, number> = {};
  const labelCount = labelCountFor(task);
  let loss = 0;
  let count = 0;
  for (const { name, examples, encoded } of splits) {
    const logits = await predictor.logits(encoded.map(({ encoding }) => encoding));
    const predictions = logits.map((values, i) => predictionFor(task, examples[i]!, encoded[i]!.encoding, values));
    const suffix = splits.length > 1 ? `_${name.replace("validation_", "")}` : "";
    for (const [metric, value] of Object.entries(computeMetrics(task, predictions, examples))) {
      metrics[metric + suffix] = value;
    }
    logits.forEach((values, i) => {
      const { targets, weights } = encoded[i]!;
      weights.forEach((weight, row) => {
        if (weight === 0) return;
        const part = (all: Float32Array): Float32Array => all.subarray(row * labelCount, (row + 1) * labelCount);
        loss += weight * rowLoss(OBJECTIVES[task.kind], part(values), part(targets));
        count += weight;
      });
    });
  }
  return { metrics, loss: loss / count };
}
