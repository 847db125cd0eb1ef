import { asFloat32, copyOf, float32, type Tensor, type Tensors } from "../../graph/tensor.ts";
import type { TrainingExample } from "../../tasks/task-kind.ts";
import { AdamW, type ParameterGroup } from "../optimizer/adamw.ts";
import { globalNorm } from "../optimizer/gradient-norm.ts";
import type { TrainingStep } from "../step.ts";
import { GRADIENT } from "../step-graph.ts";

/** Steps that a replica takes alone, from parameters that all replicas share. */
export interface ReplicaSteps {
  /** Number of the first, from 0. */
  step: number;
  /** The replica's part of each step's batch; nothing where a batch has too few examples. */
  batches: readonly (readonly TrainingExample[])[];
  /** Of each step: on every group's peak learning rate. */
  factors: readonly number[];
  groups: readonly ParameterGroup[];
  /** Whether the sums of the steps' gradients are asked for. */
  returnsGradients: boolean;
}

/** What each output of {@link advance} that holds a parameter begins with. */
export const PARAMETER = "parameter:";

/**
 * Takes a replica's steps with an AdamW of its own; the parameters are then as they were. Gradients are not clipped: of few examples they
 * differ in length, and clipping would make little of those that are most wrong, while AdamW bounds each step.
 * @param weights the model's and the method's
 * @returns `losses` and `norms` of the gradients by step, `flops` in all, each trained parameter as it came to
 * be, and of each the gradients' sum where it is asked for
 * @throws the signal's reason
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

/** Shapes of what {@link advance} gives. */
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
