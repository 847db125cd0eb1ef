import type { HubOptions } from "../checkpoints/hub-node.ts";
import { UserError } from "../errors.ts";
import type { Adapter } from "../finetuning/adapter.ts";
import type { BaseModel } from "../finetuning/base-model.ts";
import { fitAdapter } from "../finetuning/fine-tuned-model.ts";
import type { Tensors } from "../graph/tensor.ts";
import type { WeightSpec } from "../models/architecture.ts";
import { openAdapter } from "./open-adapter.ts";

/** Options of methods that say what parameters an adapter consists of and how they are computed with; others may change. */
const FIXED = ["rank", "initialRank", "alpha", "targetModules", "sharing"];

/**
 * Options of a run, with what follows from the adapter that it goes on from, where it names one: the adapter's base model
 * and method, and those of the method's options that are not given.
 * @throws UserError where the adapter cannot be read, or an option asks for another one than there is.
 */
export async function withAdapterOptions(
  given: Readonly<Record<string, unknown>>,
  hub: HubOptions,
): Promise<Readonly<Record<string, unknown>>> {
  if (given.adapter === undefined) return given;
  const adapter = String(given.adapter);
  const { description } = await openAdapter(adapter, { ...hub, model: given.model as string | undefined });
  const { method, methodOptions, model, revision } = description;
  const fixed = new Map([["method", method], ...FIXED.map((name) => [name, methodOptions[name]] as const)]);
  const asked = Object.entries(given).filter(([, value]) => value !== undefined);
  for (const [name, value] of asked) {
    if (fixed.has(name) && String(fixed.get(name)) !== String(value)) {
      throw new UserError(
        `the adapter in ${adapter} has ${name} ${fixed.get(name) ?? "unset"}, not ${value}; leave the option out`,
      );
    }
  }
  return { ...methodOptions, method, model, revision, ...Object.fromEntries(asked) };
}

/** What training goes on from. */
export interface Start {
  /** The method's parameters, and the head. */
  parameters: Tensors<"float32">;
  /** Parts of the head that are the adapter's. */
  brought: WeightSpec[];
  /** Parts of the head that neither the adapter nor the checkpoint has. */
  newWeights: WeightSpec[];
}

/**
 * An adapter's parameters as the start of a run; a classifier for another number of labels is left behind.
 * @throws UserError where the adapter does not fit the base model.
 */
export function startFrom(base: BaseModel, adapter: Adapter): Start {
  const head = [...base.trace.weights.values()].filter(({ part }) => part === "head");
  const fits = ({ name }: WeightSpec): boolean =>
    adapter.parameters.get(name)?.data.length === base.weights.get(name)!.data.length;
  const left = new Set(head.filter((weight) => !fits(weight)).map(({ name }) => name));
  const parameters = new Map([...adapter.parameters].filter(([name]) => !left.has(name)));
  return {
    parameters: fitAdapter(base, { ...adapter, parameters }).parameters,
    brought: head.filter(fits),
    newWeights: base.newWeights.filter(({ name }) => left.has(name)),
  };
}
