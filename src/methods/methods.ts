import { didYouMean, UserError } from "../errors.ts";
import { adalora } from "./adalora.ts";
import { aflora } from "./aflora.ts";
import { elora } from "./elora.ts";
import { full } from "./full.ts";
import { head } from "./head.ts";
import { lora } from "./lora.ts";
import type { MethodDefinition } from "./method.ts";
import { sora } from "./sora.ts";

/** Every method: a new one is one file and one line here. */
export const METHODS: readonly MethodDefinition[] = [aflora, lora, elora, adalora, sora, full, head];

export const METHOD_NAMES: readonly string[] = METHODS.map(({ name }) => name);

/** The method that comparisons give costs relative to, as tables call it. */
export const COST_REFERENCE = { method: elora, label: "ELoRA" };

const registered: MethodDefinition[] = [];

/**
 * Makes a method of the caller's own known by its name, to this process: runs take it, and adapters trained with it
 * can be read.
 * @throws UserError where the name is taken.
 */
export function registerMethod(method: MethodDefinition): void {
  if ([...METHODS, ...registered].some(({ name }) => name === method.name)) {
    throw new UserError(`there is a method "${method.name}" already; give the new one another name`);
  }
  registered.push(method);
}

/** @throws UserError where there is no such method, with the list of those that are. */
export function findMethod(name: string): MethodDefinition {
  const method = [...METHODS, ...registered].find((candidate) => candidate.name === name);
  if (!method) {
    throw new UserError(
      `unknown method "${name}"${didYouMean(name, METHOD_NAMES)} (methods: ${METHOD_NAMES.join(", ")})`,
    );
  }
  return method;
}

/**
 * A method's options with defaults filled in.
 * @param others names that are known beside the method's options, to suggest
 * @throws UserError naming the option that is unknown, of another method or malformed.
 */
export function parseMethodOptions(
  method: MethodDefinition,
  given: Readonly<Record<string, unknown>>,
  others: readonly string[] = [],
): Record<string, unknown> {
  const known = Object.keys(method.options.shape);
  for (const key of Object.keys(given)) {
    if (known.includes(key)) continue;
    const owners = METHODS.filter(({ options }) => key in options.shape).map(({ name }) => name);
    throw new UserError(
      owners.length > 0
        ? `option "${key}" belongs to ${owners.join(" and ")}, not to method "${method.name}"`
        : `unknown option "${key}" of method "${method.name}"${didYouMean(key, [...known, ...others])}`,
    );
  }
  const result = method.options.safeParse(given);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new UserError(`option "${issue!.path.join(".")}" of method "${method.name}": ${issue!.message}`);
}
