import type { z } from "zod";
import type { adalora } from "../methods/adalora.ts";
import type { aflora } from "../methods/aflora.ts";
import type { elora } from "../methods/elora.ts";
import type { full } from "../methods/full.ts";
import type { head } from "../methods/head.ts";
import type { lora } from "../methods/lora.ts";
import type { sora } from "../methods/sora.ts";
import type { runOptions } from "./run-config.ts";

/** Options of a run, whatever its method; `aflora train --help` describes each. Only the data must be given. */
export type RunOptions = Omit<z.input<typeof runOptions>, "method">;

/** The own options of each method (docs/methods.md); all have defaults. */
export interface MethodOptions {
  aflora: z.input<typeof aflora.options>;
  lora: z.input<typeof lora.options>;
  elora: z.input<typeof elora.options>;
  adalora: z.input<typeof adalora.options>;
  sora: z.input<typeof sora.options>;
  full: z.input<typeof full.options>;
  head: z.input<typeof head.options>;
}

/** What to fine-tune on what and how: options of a run, a method (`aflora` where absent) and the method's own options. */
export type FineTuneConfig =
  | { [Name in keyof MethodOptions]: RunOptions & { method: Name } & MethodOptions[Name] }[keyof MethodOptions]
  | (RunOptions & { method?: undefined } & MethodOptions["aflora"]);
