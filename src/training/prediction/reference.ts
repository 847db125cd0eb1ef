import type { Tensors } from "../../graph/tensor.ts";
import type { Runtime } from "../../runtime/session.ts";
import type { Objective } from "../../tasks/losses/objective.ts";
import type { Targets, TrainingExample } from "../../tasks/task-kind.ts";
import type { AdaptedModel } from "../step-graph.ts";
import { Predictor } from "./predictor.ts";

export interface ReferenceOptions {
  tokenBudget: number;
  signal?: AbortSignal | undefined;
  /** Receives the number of examples read after each run. A returned promise is awaited. */
  onDone?: ((examples: number, of: number) => void | Promise<void>) | undefined;
}

/**
 * Adds to the targets of examples the values that the model gives with `weights`, without dropout, if the objective compares with
 * them; otherwise returns the same examples.
 */
export async function withReference<Example extends TrainingExample>(
  objective: Objective,
  examples: readonly Example[],
  { model, weights, runtime }: { model: AdaptedModel; weights: Tensors; runtime: Runtime },
  { tokenBudget, signal, onDone }: ReferenceOptions,
): Promise<readonly Example[]> {
  if (objective.reference === undefined) return examples;
  const predictor = await Predictor.compile(model, weights, runtime, { tokenBudget, readBy: { objective } });
  try {
    const values = await predictor.logits(examples, undefined, signal, onDone);
    return examples.map((example, i) => ({
      ...example,
      targets: withReferenceValues(objective, example.targets, values[i]!),
    }));
  } finally {
    await predictor.release();
  }
}

/** Targets with the model's values before training in their reference column. @param values `[rows, 1]` */
export function withReferenceValues(
  { reference }: Objective,
  { shape, data, dtype }: Targets["targets"],
  values: Float32Array,
): Targets["targets"] {
  if (reference === undefined || dtype !== "float32") return { shape, data, dtype } as Targets["targets"];
  const copy = Float32Array.from(data);
  const width = data.length / Math.max(1, values.length);
  values.forEach((value, row) => {
    copy[row * width + reference] = value;
  });
  return { dtype, shape, data: copy };
}
