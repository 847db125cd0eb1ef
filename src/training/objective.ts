import type { Value } from "../graph/graph.ts";
import { logSoftmax, mul, neg, softplus, sub, sumAll } from "../graph/ops.ts";

/**
 * What a task minimises. Targets and weights are inputs `[rows, labels]`, so that padding, class weights and the mean
 * over a batch cut into micro-batches are all a matter of weights: the loss is a sum.
 */
export type Objective = "cross-entropy" | "binary-cross-entropy" | "squared-error";

/**
 * The scalar loss.
 * @param logits `[rows, labels]`
 * @param targets `[rows, labels]`: one-hot classes, 0/1 labels, or real values
 * @param weights `[rows, 1]`: what each row counts for
 */
export function objectiveLoss(objective: Objective, logits: Value, targets: Value, weights: Value): Value {
  switch (objective) {
    case "cross-entropy":
      return neg(sumAll(mul(logSoftmax(logits), mul(targets, weights))));
    case "binary-cross-entropy":
      return sumAll(mul(sub(softplus(logits), mul(logits, targets)), weights));
    case "squared-error": {
      const error = sub(logits, targets);
      return sumAll(mul(mul(error, error), weights));
    }
  }
}

/** The loss of one row of weight 1, as {@link objectiveLoss} counts it; binary cross-entropy is a mean over labels. */
export function rowLoss(objective: Objective, logits: Float32Array, targets: Float32Array): number {
  switch (objective) {
    case "cross-entropy": {
      const largest = Math.max(...logits);
      const normaliser = largest + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0));
      return logits.reduce((sum, logit, i) => sum + targets[i]! * (normaliser - logit), 0);
    }
    case "binary-cross-entropy":
      return (
        logits.reduce((sum, z, i) => sum + Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z))) - z * targets[i]!, 0) /
        logits.length
      );
    case "squared-error":
      return logits.reduce((sum, logit, i) => sum + (logit - targets[i]!) ** 2, 0);
  }
}
