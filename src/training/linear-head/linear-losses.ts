import type { LinearLoss } from "../../tasks/losses/objective.ts";

/** A convex loss of one row's outputs, which stand in `logits` from `at` on; its targets in `targets` from `target` on. */
interface RowLoss {
  /** Whether outputs say the same, only more or less surely, where all are multiplied by a number. */
  scales: boolean;
  loss(logits: Float64Array, at: number, targets: Float64Array, target: number, outputs: number): number;
  /** What the outputs say in the targets' terms, into `into` from `at` on: the loss's gradient is that less the targets. */
  expect(logits: Float64Array, at: number, outputs: number, into: Float64Array): void;
  /** The Hessian times `along` from `at` on, in its place. @param expected what {@link expect} gave */
  curve(expected: Float64Array, along: Float64Array, at: number, outputs: number): void;
  /** An entry of the Hessian's diagonal. */
  curvature(expected: number): number;
}

/** log Σ eᶻ over the outputs. */
function logOfSum(logits: Float64Array, at: number, outputs: number): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (let k = at; k < at + outputs; k++) largest = Math.max(largest, logits[k]!);
  let total = 0;
  for (let k = at; k < at + outputs; k++) total += Math.exp(logits[k]! - largest);
  return largest + Math.log(total);
}

export const LINEAR_LOSSES: Readonly<Record<LinearLoss, RowLoss>> = {
  /** Cross-entropy of one choice: multinomial logistic regression. */
  softmax: {
    scales: true,
    loss(logits, at, targets, target, outputs) {
      const all = logOfSum(logits, at, outputs);
      let sum = 0;
      for (let k = 0; k < outputs; k++) sum += targets[target + k]! * (all - logits[at + k]!);
      return sum;
    },
    expect(logits, at, outputs, into) {
      const all = logOfSum(logits, at, outputs);
      for (let k = at; k < at + outputs; k++) into[k] = Math.exp(logits[k]! - all);
    },
    curve(expected, along, at, outputs) {
      let mean = 0;
      for (let k = at; k < at + outputs; k++) mean += expected[k]! * along[k]!;
      for (let k = at; k < at + outputs; k++) along[k] = expected[k]! * (along[k]! - mean);
    },
    curvature: (expected) => expected * (1 - expected),
  },
  /** Cross-entropy of each output by itself: a logistic regression for each, one against the rest. */
  sigmoid: {
    scales: true,
    loss(logits, at, targets, target, outputs) {
      let sum = 0;
      for (let k = 0; k < outputs; k++) {
        const z = logits[at + k]!;
        sum += Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z))) - z * targets[target + k]!;
      }
      return sum;
    },
    expect(logits, at, outputs, into) {
      for (let k = at; k < at + outputs; k++) into[k] = 1 / (1 + Math.exp(-logits[k]!));
    },
    curve(expected, along, at, outputs) {
      for (let k = at; k < at + outputs; k++) along[k]! *= expected[k]! * (1 - expected[k]!);
    },
    curvature: (expected) => expected * (1 - expected),
  },
  /** Half the squared difference: ridge regression. */
  squared: {
    scales: false,
    loss(logits, at, targets, target, outputs) {
      let sum = 0;
      for (let k = 0; k < outputs; k++) sum += 0.5 * (logits[at + k]! - targets[target + k]!) ** 2;
      return sum;
    },
    expect(logits, at, outputs, into) {
      for (let k = at; k < at + outputs; k++) into[k] = logits[k]!;
    },
    curve: () => undefined,
    curvature: () => 1,
  },
};
