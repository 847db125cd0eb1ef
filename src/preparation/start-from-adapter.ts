import type { WeightSpec } from "../architectures/model-parts.ts";
import type { Adapter } from "../base-models/adapter.ts";
import type { BaseModel } from "../base-models/base-model.ts";
import { fitAdapter } from "../base-models/fitted-adapter.ts";
import type { Tensors } from "../graph/tensor.ts";
import { withTemperature } from "../training/calibration/calibrate.ts";

/** The adapter that training continues from, fitted to the base model. */
export interface Start {
  /** Parameters of the method and of the head. */
  parameters: Tensors<"float32">;
  /** Parts of the head that come from the adapter. */
  brought: WeightSpec[];
  /** Parts of the head that neither the adapter nor the checkpoint has: they are new. */
  newWeights: WeightSpec[];
}

/**
 * Fits an adapter to a base model as the start of a run. A classifier for another number of labels is left out.
 * @throws UserError if the adapter does not fit the base model
 */
export function startFrom(base: BaseModel, adapter: Adapter): Start {
  const head = [...base.trace.weights.values()].filter(({ part }) => part === "head");
  const fits = ({ name }: WeightSpec): boolean =>
    adapter.parameters.get(name)?.data.length === base.weights.get(name)!.data.length;
  const left = new Set(head.filter((weight) => !fits(weight)).map(({ name }) => name));
  const kept = new Map([...adapter.parameters].filter(([name]) => !left.has(name)));
  // Training continues from the head before its calibration.
  const { temperature } = adapter.description;
  const { classifier } = base.trace;
  const parameters = temperature && classifier ? withTemperature(kept, classifier, 1 / temperature) : kept;
  return {
    parameters: fitAdapter(base, { ...adapter, parameters }).parameters,
    brought: head.filter(fits),
    newWeights: base.newWeights.filter(({ name }) => left.has(name)),
  };
}
