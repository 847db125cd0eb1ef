import type { z } from "zod";
import type { BUILT_IN_METHODS } from "./methods.ts";

// Without options: zod's type of an empty object would forbid all other keys too.
type OptionsOf<Given> = string extends keyof Given ? object : Given;
type Methods = typeof BUILT_IN_METHODS;
// Not over `keyof Methods` alone: the options would get the methods' docstrings.
type BuiltInOptions = { [Name in keyof Methods & string]: OptionsOf<z.input<Methods[Name]["options"]>> };

/**
 * Options of each method (docs/methods.md); all have defaults. A program that registers a method declares its options
 * here, so that TypeScript checks them: `declare module "aflora/extend" { interface MethodOptions { … } }`.
 */
export interface MethodOptions extends BuiltInOptions {
  elora: BuiltInOptions["vera"];
}

/**
 * Options that include a method and its options. By default, the method is `aflora` for texts if the head is fitted and the model has at
 * most six blocks, otherwise `lora`.
 */
export type WithMethod<Others> =
  | { [Name in keyof MethodOptions]: Others & { method: Name } & MethodOptions[Name] }[keyof MethodOptions]
  | (Others & { method?: undefined } & (MethodOptions["aflora"] | MethodOptions["lora"]));
