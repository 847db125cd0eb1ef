import { Registry } from "../registry.ts";
import { adalora } from "./adalora.ts";
import { aflora } from "./aflora.ts";
import { full } from "./full.ts";
import { head } from "./head.ts";
import { lora } from "./lora.ts";
import { loraXs } from "./lora-xs.ts";
import type { Adaptation, MethodDefinition, MethodState, RunLength, Schedule } from "./method.ts";
import { psoft } from "./psoft.ts";
import { sora } from "./sora.ts";
import { vera } from "./vera.ts";

/** The package's methods by name, the default first. To add a method, write one file and one line here. */
export const BUILT_IN_METHODS = { lora, aflora, "lora-xs": loraXs, psoft, vera, adalora, sora, full, head };

export const METHODS = new Registry<MethodDefinition>("method", Object.values(BUILT_IN_METHODS));

/** Default method (docs/results/which-method.md). */
export const DEFAULT_METHOD = lora;

/**
 * Default method of runs on texts if the head is fitted before training and the model has at most six blocks: its projections start from
 * gradients, which need such a head.
 */
export const FITTED_HEAD_METHOD = aflora;

/** Methods of runs that name none; the examples choose. */
export const DEFAULT_METHODS: readonly MethodDefinition[] = [DEFAULT_METHOD, FITTED_HEAD_METHOD];

/** The method of the paper that this package implements. Runs on a published task have the epochs that its authors published. */
export const PAPER_METHOD = aflora;

/** Name of the method that options choose: the given one, or that of the paper for its preset; undefined if the data choose the default. */
export function methodNameIn({ method, preset }: Readonly<Record<string, unknown>>): string | undefined {
  if (method !== undefined) return String(method);
  return preset === undefined ? undefined : PAPER_METHOD.name;
}

/** Methods that a search for the best settings tries by default. */
export const TUNED_METHODS = DEFAULT_METHODS;

/** Method to which comparisons relate costs, with its name in tables. */
export const COST_REFERENCE = { method: vera, label: "VeRA" };

/**
 * Registers a method in this process by its name: runs can use it, and adapters trained with it can be
 * read.
 * @throws UserError if the name is taken.
 * @example
 * ```ts
 * registerMethod(outputScales); // docs/extending.md writes it
 * ```
 */
export const registerMethod = (method: MethodDefinition): void => METHODS.register(method);

/** Finds a method by its name or alias. @throws UserError if there is none, with a list of the methods. */
export const findMethod = (name: string): MethodDefinition => METHODS.find(name);

/**
 * Parses a method's options and fills in defaults.
 * @param others other known names, to suggest for a misspelled option
 * @throws UserError naming an option that is unknown, belongs to another method or is malformed.
 */
export const parseMethodOptions = (
  method: MethodDefinition,
  given: Readonly<Record<string, unknown>>,
  others?: readonly string[],
): Record<string, unknown> => METHODS.parseOptions(method, given, others);

/**
 * Makes the schedule of a run; if the method has none, everything that is trainable trains until the end.
 * @param adaptation from the method, with the same options
 * @throws UserError if the options do not fit the run's length, or the state does not fit the options
 */
export function scheduleFor(
  method: MethodDefinition,
  options: Record<string, unknown>,
  adaptation: Adaptation,
  run: RunLength,
  state?: MethodState,
): Schedule {
  // A run without steps only fits the head.
  const scheduled = run.totalSteps > 0 ? method.schedule?.(options, adaptation, run, state) : undefined;
  return scheduled ?? { trainable: () => adaptation.trainable };
}
