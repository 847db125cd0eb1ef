import { didYouMean, inWords, UserError } from "../errors.ts";
import { adalora } from "./adalora.ts";
import { aflora } from "./aflora.ts";
import { full } from "./full.ts";
import { head } from "./head.ts";
import { lora } from "./lora.ts";
import type { Adaptation, MethodDefinition, MethodState, RunLength, Schedule } from "./method.ts";
import { sora } from "./sora.ts";
import { vera } from "./vera.ts";

/** Every method: a new one is one file and one line here. */
export const METHODS: readonly MethodDefinition[] = [aflora, lora, vera, adalora, sora, full, head];

/** The method where none is named. */
export const DEFAULT_METHOD = aflora;

/** Methods that are tried where the best settings are looked for and none is named: the default, and the one that most take. */
export const TUNED_METHODS: readonly MethodDefinition[] = [DEFAULT_METHOD, lora];

export const METHOD_NAMES: readonly string[] = METHODS.map(({ name }) => name);

/** The method that comparisons give costs relative to, as tables call it. */
export const COST_REFERENCE = { method: vera, label: "VeRA" };

const registered: MethodDefinition[] = [];

/**
 * Makes a method of the caller's own known by its name, to this process: runs take it, and adapters trained with it
 * can be read.
 * @throws UserError where the name is taken.
 */
export function registerMethod(method: MethodDefinition): void {
  if (knownMethods().some((known) => isCalled(known, method.name))) {
    throw new UserError(`there is a method "${method.name}" already; give the new one another name`);
  }
  registered.push(method);
}

/** Every method that this process knows: those of the package and of the caller's own. */
export const knownMethods = (): readonly MethodDefinition[] => [...METHODS, ...registered];

const isCalled = ({ name, aliases = [] }: MethodDefinition, asked: string): boolean =>
  asked === name || aliases.includes(asked);

/** The method of this name or alias. @throws UserError where there is no such method, with the list of those that are. */
export function findMethod(name: string): MethodDefinition {
  const method = knownMethods().find((known) => isCalled(known, name));
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
  const result = method.options.safeParse(given, { error: inWords });
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new UserError(`option "${issue!.path.join(".")}" of method "${method.name}": ${issue!.message}`);
}

/**
 * What changes in the course of a run with a method: the method's schedule, or nothing.
 * @param adaptation what the method gave for the same options
 * @throws UserError where the options do not fit the run's length, or the state does not fit the options
 */
export function scheduleFor(
  method: MethodDefinition,
  options: Record<string, unknown>,
  adaptation: Adaptation,
  run: RunLength,
  state?: MethodState,
): Schedule {
  return method.schedule?.(options, adaptation, run, state) ?? { trainable: () => adaptation.trainable };
}
