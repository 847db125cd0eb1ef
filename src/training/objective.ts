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
