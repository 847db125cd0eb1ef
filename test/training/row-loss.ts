import { binaryCrossEntropy, crossEntropy, type Objective, squaredError } from "../../src/tasks/losses/objective.ts";

type RowLoss = (outputs: Float32Array, targets: Float32Array) => number;

const sum = (values: Float32Array, term: (value: number, index: number) => number): number =>
  values.reduce((total, value, index) => total + term(value, index), 0);

/** The loss of one row of weight 1, implemented a second time, to compare the graph's loss with. */
export const rowLosses: ReadonlyMap<Objective, RowLoss> = new Map<Objective, RowLoss>([
  [
    crossEntropy,
    (outputs, targets) => {
      const normaliser = Math.log(sum(outputs, Math.exp));
      return sum(outputs, (output, i) => targets[i]! * (normaliser - output));
    },
  ],
  [
    binaryCrossEntropy,
    (outputs, targets) =>
      sum(outputs, (z, i) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z))) - z * targets[i]!) / outputs.length,
  ],
  [squaredError, (outputs, targets) => sum(outputs, (output, i) => (output - targets[i]!) ** 2)],
]);
