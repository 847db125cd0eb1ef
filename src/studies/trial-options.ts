import { optionOfRun } from "../fine-tuning/run-options-node.ts";
import { findMethod } from "../methods/methods.ts";

type Options = Readonly<Record<string, unknown>>;

/** Options of runs and of the method that they name, without those of other methods. */
export function optionsOfMethod(options: Options): Record<string, unknown> {
  const { shape } = findMethod(String(options.method)).options;
  return Object.fromEntries(
    Object.entries(options).filter(([name]) => optionOfRun(name) !== undefined || name in shape),
  );
}

/** The same options with a share of the training examples held out instead of other validation examples; 0 changes nothing. */
export function holdingOut(options: Options, share: number): Record<string, unknown> {
  const { validation: _, ...others } = options;
  return share > 0 ? { ...others, validationSplit: share } : { ...options };
}
