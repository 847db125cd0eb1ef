import type { Value } from "../../graph/graph.ts";
import { logLikelihood, logSoftmax, mul, neg, softplus, sub, sumAll } from "../../graph/ops.ts";

/** Losses that are convex for a linear model: multinomial logistic, one logistic regression per output, least squares. */
export type LinearLoss = "softmax" | "sigmoid" | "squared";

/**
 * Loss that a task minimizes, as a weighted sum. Weights express class weights, examples with different numbers of words, and the mean
 * over a batch that is cut into micro-batches.
 */
export interface Objective {
  /** Equivalent loss of a linear model, up to a factor, whose optimum can be found directly; undefined if there is none. */
  readonly linearLoss?: LinearLoss;
  /** Whether each example's loss is independent (the loss is their weighted sum), or needs all examples of a batch at once. */
  readonly couples: "nothing" | "batch";
  /**
   * Reduces a row to the one value that the loss reads, `[rows, 1]`, if outputs are too wide to be stored until a loss over several
   * rows is computed. @param outputs `[rows, outputs]` @param targets `[rows, ...target.shape]`
   */
  rowValue?(outputs: Value, targets: Value): Value;
  /** Column of float32 targets with the same value from the model before training, if the loss compares with it. */
  readonly reference?: number;
  /** Layout of a row's target, for a head with this many outputs: `[outputs]` float32, or `[]` int32. */
  target(outputs: number): { dtype: "float32" | "int32"; shape: readonly number[] };
  /**
   * Writes the scalar loss.
   * @param outputs `[rows, outputs]`, or the row's value if there is a `rowValue`
   * @param targets `[rows, ...target.shape]`
   * @param weights weight of each row, `[rows, 1]`; over a batch they sum to 1
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

/** Cross-entropy of the outputs' softmax with the index of the correct output, so that targets are not as wide as a vocabulary. */
export const indexCrossEntropy: Objective = {
  couples: "nothing",
  target: () => ({ dtype: "int32", shape: [] }),
  loss: (outputs, targets, weights) => neg(sumAll(mul(logLikelihood(outputs, targets), weights))),
};

/** Cross-entropy of each output's sigmoid with its 0 or 1, averaged over the outputs. */
export const binaryCrossEntropy: Objective = {
  linearLoss: "sigmoid",
  couples: "nothing",
  target: likeOutputs,
  loss(outputs, targets, weights) {
    const sum = sumAll(mul(sub(softplus(outputs), mul(outputs, targets)), weights));
    return mul(sum, 1 / (outputs.shape[1] as number));
  },
};

/** Squared difference from real values, summed over the outputs. */
export const squaredError: Objective = {
  linearLoss: "squared",
  couples: "nothing",
  target: likeOutputs,
  loss(outputs, targets, weights) {
    const error = sub(outputs, targets);
    return sumAll(mul(mul(error, error), weights));
  },
};
