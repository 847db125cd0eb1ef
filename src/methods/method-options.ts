import type { z } from "zod";
import type { adalora } from "./adalora.ts";
import type { aflora } from "./aflora.ts";
import type { lora } from "./lora.ts";
import type { sora } from "./sora.ts";
import type { vera } from "./vera.ts";

/**
 * The own options of each method (docs/methods.md); all have defaults. A program that registers a method declares its options
 * here, so that they are checked like the others': `declare module "aflora" { interface MethodOptions { … } }`.
 */
export interface MethodOptions {
  aflora: z.input<typeof aflora.options>;
  lora: z.input<typeof lora.options>;
  vera: z.input<typeof vera.options>;
  elora: z.input<typeof vera.options>;
  adalora: z.input<typeof adalora.options>;
  sora: z.input<typeof sora.options>;
  // Without options: zod's type of none would forbid every other key, too.
  full: object;
  head: object;
}

/** Options with a method (`aflora` where absent) and the method's own beside them. */
export type WithMethod<Others> =
  | { [Name in keyof MethodOptions]: Others & { method: Name } & MethodOptions[Name] }[keyof MethodOptions]
  | (Others & { method?: undefined } & MethodOptions["aflora"]);
