import { UserError } from "../errors.ts";
import { findMethod } from "../methods/methods.ts";
import type { Adapter } from "../model/adapter.ts";

/**
 * Options of a run, with what follows from the adapter that it goes on from: the adapter's base model and method, and those of
 * the method's options that are not given.
 * @throws UserError where an option asks for another one than there is.
 */
export function withAdapterOptions(
  given: Readonly<Record<string, unknown>>,
  { description: { method, methodOptions, model, revision } }: Adapter,
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
  return { ...methodOptions, method, model, revision, ...Object.fromEntries(asked) };
}
