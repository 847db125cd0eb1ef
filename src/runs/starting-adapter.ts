import type { HubOptions } from "../checkpoints/hub-node.ts";
import { UserError } from "../errors.ts";
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
