import type { z } from "zod";
import type { adalora } from "./adalora.ts";
import type { aflora } from "./aflora.ts";
import type { lora } from "./lora.ts";
import type { loraXs } from "./lora-xs.ts";
import type { psoft } from "./psoft.ts";
import type { sora } from "./sora.ts";
import type { vera } from "./vera.ts";

/**
 * Options of each method (docs/methods.md); all have defaults. A program that registers a method declares its options
 * here, so that TypeScript checks them: `declare module "aflora/extend" { interface MethodOptions { … } }`.
 */
export interface MethodOptions {
  aflora: z.input<typeof aflora.options>;
  lora: z.input<typeof lora.options>;
  "lora-xs": z.input<typeof loraXs.options>;
  psoft: z.input<typeof psoft.options>;
  vera: z.input<typeof vera.options>;
  elora: z.input<typeof vera.options>;
  adalora: z.input<typeof adalora.options>;
  sora: z.input<typeof sora.options>;
  // Without options: zod's type of an empty object would forbid all other keys too.
  full: object;
  head: object;
}

/**
 * Options that include a method and its options. By default, the method is `aflora` for texts if the head is fitted and the model has at
 * most six blocks, otherwise `lora`.
 */
export type WithMethod<Others> =
  | { [Name in keyof MethodOptions]: Others & { method: Name } & MethodOptions[Name] }[keyof MethodOptions]
  | (Others & { method?: undefined } & (MethodOptions["aflora"] | MethodOptions["lora"]));
