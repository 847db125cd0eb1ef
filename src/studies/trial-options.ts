import { findMethod, methodNameIn } from "../methods/methods.ts";
import { optionOfRun } from "../preparation/run-options-node.ts";

type Options = Readonly<Record<string, unknown>>;

/** The same options with the method that they choose, if they do not leave it to the examples. */
export function withMethod(options: Options): Record<string, unknown> {
  const method = methodNameIn(options);
  return method === undefined ? { ...options } : { method, ...options };
}

/** Options of runs and of the method that they name, without those of other methods. All if they leave the method to the examples. */
export function optionsOfMethod(options: Options): Record<string, unknown> {
  if (options.method === undefined) return { ...options };
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
