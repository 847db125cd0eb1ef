import type { Value } from "../../graph/graph.ts";
import { logLikelihood, logSoftmax, mul, neg, softplus, sub, sumAll } from "../../graph/ops.ts";

/** Losses whose best linear function is a convex problem: multinomial logistic, one logistic regression an output, least squares. */
export type LinearLoss = "softmax" | "sigmoid" | "squared";

/**
 * What a task minimises. Class weights, words of unequal number and the mean over a batch that is cut into micro-batches
 * are all a matter of weights, so that the loss is a sum.
 */
export interface Objective {
  /** Which loss of a linear function it is up to a factor, where it is one whose optimum can be found outright. */
  readonly linearLoss?: LinearLoss;
  /** Whether each example's loss stands alone (the loss is their weighted sum), or all of a batch are needed at once. */
  readonly couples: "nothing" | "batch";
  /**
   * The one number of a row that the loss reads, `[rows, 1]`, where outputs are too wide to be kept until a loss that needs several
   * rows is computed. @param outputs `[rows, outputs]` @param targets `[rows, ...target.shape]`
   */
  rowValue?(outputs: Value, targets: Value): Value;
  /** Column of float32 targets where the same number stands that the model gave before training, if the loss compares with it. */
  readonly reference?: number;
  /** How a row's target is laid out, for a head of so many outputs: `[outputs]` float32, or `[]` int32. */
  target(outputs: number): { dtype: "float32" | "int32"; shape: readonly number[] };
  /**
   * The scalar loss.
   * @param outputs `[rows, outputs]`, or the row's own value where the loss reads that
   * @param targets `[rows, ...target.shape]`
   * @param weights `[rows, 1]`: what each row counts for; over a batch they sum to 1
   */
  loss(outputs: Value, targets: Value, weights: Value): Value;
}

const likeOutputs = (outputs: number) => ({ dtype: "float32", shape: [outputs] }) as const;

/** Cross-entropy of the outputs' softmax with one-hot targets. */
export const crossEntropy: Objective = {
  linearLoss: "softmax",
  couples: "nothing",
  target: likeOutputs,
  loss: (outputs, targets, weights) => neg(sumAll(mul(logSoftmax(outputs), mul(targets, weights)))),
};

/** Cross-entropy of the outputs' softmax with the number of the right output: nothing is as wide as a vocabulary but outputs. */
export const indexCrossEntropy: Objective = {
  couples: "nothing",
  target: () => ({ dtype: "int32", shape: [] }),
  loss: (outputs, targets, weights) => neg(sumAll(mul(logLikelihood(outputs, targets), weights))),
};

/** Cross-entropy of each output's sigmoid with its 0 or 1, a mean over the outputs. */
export const binaryCrossEntropy: Objective = {
  linearLoss: "sigmoid",
  couples: "nothing",
  target: likeOutputs,
  loss(outputs, targets, weights) {
    const sum = sumAll(mul(sub(softplus(outputs), mul(outputs, targets)), weights));
    return mul(sum, 1 / (outputs.shape[1] as number));
  },
};

/** Squared difference from real values, a sum over the outputs. */
export const squaredError: Objective = {
  linearLoss: "squared",
  couples: "nothing",
  target: likeOutputs,
  loss(outputs, targets, weights) {
    const error = sub(outputs, targets);
    return sumAll(mul(mul(error, error), weights));
  },
};
