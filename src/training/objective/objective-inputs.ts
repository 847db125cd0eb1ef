import { elementsOf, float32, type Tensor } from "../../graph/tensor.ts";
import type { Objective } from "../../tasks/losses/objective.ts";
import type { Targets, TrainingExample } from "../../tasks/task-kind.ts";

export function targetInputs(
  objective: Objective,
  outputs: number,
  examples: readonly Pick<Targets, "targets">[],
): Record<"targets", Tensor> {
  const { dtype, shape } = objective.target(outputs);
  const size = examples.reduce((sum, { targets }) => sum + targets.data.length, 0);
  const data = dtype === "float32" ? new Float32Array(size) : new Int32Array(size);
  let end = 0;
  for (const { targets } of examples) {
    data.set(targets.data, end);
    end += targets.data.length;
  }
  return { targets: { dtype, shape: [size / elementsOf(shape), ...shape], data } as Tensor };
}

export function objectiveInputs(
  objective: Objective,
  outputs: number,
  examples: readonly TrainingExample[],
  total: number,
): Record<"targets" | "rowWeights", Tensor> {
  const weights = examples.flatMap((example) => Array.from(example.weights, (weight) => weight / total));
  const rowWeights = float32([weights.length, 1], Float32Array.from(weights));
  return { ...targetInputs(objective, outputs, examples), rowWeights };
}

export function totalWeight(examples: readonly TrainingExample[]): number {
  return examples.reduce((sum, { weights }) => sum + weights.reduce((a, b) => a + b, 0), 0) || 1;
}
