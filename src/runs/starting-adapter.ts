import type { HubOptions } from "../checkpoints/hub-repository-node.ts";
import { UserError } from "../errors.ts";
import { findMethod } from "../methods/methods.ts";
import { openAdapter } from "./open-adapter.ts";

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
  const asked = Object.entries(given).filter(([, value]) => value !== undefined);
  const fixed = ["method", ...(findMethod(method).shapeOptions ?? [])];
  for (const [name, value] of asked) {
    const own = name === "method" ? method : methodOptions[name];
    const wanted = name === "method" ? findMethod(String(value)).name : value;
    if (fixed.includes(name) && String(own) !== String(wanted)) {
      throw new UserError(
        `the adapter in ${adapter} has ${name} ${own ?? "unset"}, not ${value}; leave the option out`,
      );
    }
  }
  return { ...methodOptions, method, model, revision, ...Object.fromEntries(asked) };
}
