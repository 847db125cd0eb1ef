import { Registry } from "../registry.ts";
import { adalora } from "./adalora.ts";
import { aflora } from "./aflora.ts";
import { full } from "./full.ts";
import { head } from "./head.ts";
import { lora } from "./lora.ts";
import type { Adaptation, MethodDefinition, MethodState, RunLength, Schedule } from "./method.ts";
import { sora } from "./sora.ts";
import { vera } from "./vera.ts";

/** Every method: a new one is one file and one line here. */
export const METHODS = new Registry<MethodDefinition>("method", [aflora, lora, vera, adalora, sora, full, head]);

/** The method where none is named. */
export const DEFAULT_METHOD = aflora;

/** Methods that are tried where the best settings are looked for and none is named: the default, and the one that most take. */
export const TUNED_METHODS: readonly MethodDefinition[] = [DEFAULT_METHOD, lora];

/** The method that comparisons give costs relative to, as tables call it. */
export const COST_REFERENCE = { method: vera, label: "VeRA" };

/**
 * Makes a method of the caller's own known by its name, to this process: runs take it, and adapters trained with it
 * can be read.
 * @throws UserError where the name is taken.
 */
export const registerMethod = (method: MethodDefinition): void => METHODS.register(method);

/** The method of this name or alias. @throws UserError where there is no such method, with the list of those that are. */
export const findMethod = (name: string): MethodDefinition => METHODS.find(name);

/**
 * A method's options with defaults filled in.
 * @param others names that are known beside the method's options, to suggest
 * @throws UserError naming the option that is unknown, of another method or malformed.
 */
export const parseMethodOptions = (
  method: MethodDefinition,
  given: Readonly<Record<string, unknown>>,
  others?: readonly string[],
): Record<string, unknown> => METHODS.parseOptions(method, given, others);

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
  // A run of no steps fits the head alone.
  const scheduled = run.totalSteps > 0 ? method.schedule?.(options, adaptation, run, state) : undefined;
  return scheduled ?? { trainable: () => adaptation.trainable };
}
