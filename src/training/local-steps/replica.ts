import { asFloat32, copyOf, float32, type Tensor, type Tensors } from "../../graph/tensor.ts";
import type { TrainingExample } from "../../tasks/task-kind.ts";
import { AdamW, type ParameterGroup } from "../optimizer/adamw.ts";
import { globalNorm } from "../optimizer/gradient-norm.ts";
import type { TrainingStep } from "../step.ts";
import { GRADIENT } from "../step-graph.ts";

export interface ReplicaSteps {
  step: number;
  /** The replica's part of each step's batch; empty if the batch has too few examples. */
  batches: readonly (readonly TrainingExample[])[];
  factors: readonly number[];
  groups: readonly ParameterGroup[];
  returnsGradients: boolean;
}

export const PARAMETER = "parameter:";

/**
 * Takes a replica's steps with its own AdamW, then restores the parameters. Gradients are not clipped: the norms of gradients of few
 * examples differ, and clipping would shrink those of the examples that are most wrong, while AdamW bounds each step.
 */
export async function advance(
  step: TrainingStep,
  weights: Tensors,
  { step: first, batches, factors, groups, returnsGradients }: ReplicaSteps,
  signal?: AbortSignal,
): Promise<Record<string, Tensor<"float32">>> {
  const tensors = new Map(groups.flatMap(({ names }) => names).map((name) => [name, asFloat32(weights.get(name)!)]));
  const before = new Map([...step.trained.keys()].map((name) => [name, copyOf(tensors.get(name)!)]));
  const optimizer = new AdamW(groups);
  const [losses, norms, flops] = [float32([batches.length]), float32([batches.length]), float32([])];
  const sums = new Map<string, Tensor<"float32">>();
  try {
    for (const [i, batch] of batches.entries()) {
      if (batch.length === 0) continue;
      const outcome = await step.run(first + i, batch, signal);
      const norm = globalNorm(outcome.gradients);
      losses.data[i] = outcome.loss;
      norms.data[i] = norm;
      flops.data[0]! += outcome.flops;
      if (returnsGradients) addTo(sums, outcome.gradients);
      optimizer.step(tensors, outcome.gradients, factors[i]!);
    }
    const parameters = [...before.keys()].map((name) => [PARAMETER + name, copyOf(tensors.get(name)!)] as const);
    const gradients = [...sums].map(([name, sum]) => [GRADIENT + name, sum] as const);
    return { losses, norms, flops, ...Object.fromEntries(parameters), ...Object.fromEntries(gradients) };
  } finally {
    for (const [name, { data }] of before) tensors.get(name)!.data.set(data);
  }
}

export function advancedShapes(
  { trained }: Pick<TrainingStep, "trained">,
  { batches, returnsGradients }: ReplicaSteps,
): Map<string, readonly number[]> {
  const shapes = new Map<string, readonly number[]>([
    ["losses", [batches.length]],
    ["norms", [batches.length]],
    ["flops", []],
  ]);
  for (const [name, shape] of trained) {
    shapes.set(PARAMETER + name, shape);
    if (returnsGradients) shapes.set(GRADIENT + name, shape);
  }
  return shapes;
}

function addTo(sums: Map<string, Tensor<"float32">>, gradients: Tensors<"float32">): void {
  for (const [name, gradient] of gradients) {
    const sum = sums.get(name);
    if (!sum) sums.set(name, copyOf(gradient));
    else for (let i = 0; i < sum.data.length; i++) sum.data[i]! += gradient.data[i]!;
  }
}
