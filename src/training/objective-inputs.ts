import { float32, sizeOf, type Tensor } from "../graph/tensor.ts";
import type { Objective } from "../tasks/losses/objective.ts";
import type { TrainingExample } from "../tasks/task-kind.ts";

/**
 * The targets of examples, one after the other, and what their rows count for.
 * @param total of the weights of the whole batch, of which these may be a part: over the batch they then sum to 1
 */
export function objectiveInputs(
  objective: Objective,
  outputs: number,
  examples: readonly TrainingExample[],
  total: number,
): Record<"targets" | "rowWeights", Tensor> {
  const { dtype, shape } = objective.target(outputs);
  const rows = examples.reduce((sum, { weights }) => sum + weights.length, 0);
  const width = sizeOf(shape);
  const targets = dtype === "float32" ? new Float32Array(rows * width) : new Int32Array(rows * width);
  const weights = new Float32Array(rows);
  let row = 0;
  for (const example of examples) {
    targets.set(example.targets.data, row * width);
    for (const weight of example.weights) weights[row++] = weight / total;
  }
  return {
    targets: { dtype, shape: [rows, ...shape], data: targets } as Tensor,
    rowWeights: float32([rows, 1], weights),
  };
}

/** What the rows of examples count for together; 1 where they count for nothing. */
export function totalWeight(examples: readonly TrainingExample[]): number {
  return examples.reduce((sum, { weights }) => sum + weights.reduce((a, b) => a + b, 0), 0) || 1;
}
