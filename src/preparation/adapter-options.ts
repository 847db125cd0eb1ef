import type { Adapter } from "../base-models/adapter.ts";
import { UserError } from "../errors.ts";
import { findMethod } from "../methods/methods.ts";

/**
 * Adds the options that follow from the adapter that a run continues from: its base model, its method, and the method's options that
 * are not given.
 * @throws UserError if an option contradicts the adapter
 */
export function withAdapterOptions(
  given: Readonly<Record<string, unknown>>,
  { description: { method, methodOptions, model, revision, task } }: Adapter,
): Readonly<Record<string, unknown>> {
  const asked = Object.entries(given).filter(([, value]) => value !== undefined);
  const fixed = ["method", ...(findMethod(method).shapeOptions ?? [])];
  for (const [name, value] of asked) {
    const own = name === "method" ? method : methodOptions[name];
    const wanted = name === "method" ? findMethod(String(value)).name : value;
    if (fixed.includes(name) && String(own) !== String(wanted)) {
      throw new UserError(
        `the adapter in ${given.adapter} has ${name} ${own ?? "unset"}, not ${value}; leave the option out`,
      );
    }
  }
  const { features = "family" } = task;
  if (given.headFeatures !== undefined && given.headFeatures !== features) {
    throw new UserError(
      `the head of the adapter in ${given.adapter} reads headFeatures ${features}, not ${given.headFeatures}; leave the option out`,
    );
  }
  return { ...methodOptions, method, model, revision, ...Object.fromEntries(asked) };
}
