import { z } from "zod";
import type { LinearModule } from "../architectures/model-parts.ts";
import { opt, UserError } from "../errors.ts";
import type { RunLength } from "./method.ts";

/** Layers to adapt, separated by commas on the command line. */
export const targetModules = z
  .preprocess(
    (value: string | readonly string[] | undefined) => (typeof value === "string" ? value.split(",") : value),
    z.array(z.string().min(1)).min(1),
  )
  .optional()
  .describe("layers to adapt, by name, end of name or pattern with * (default: all)");

/** Marks options that do not change the cost of a training step (`.meta(sameStepCost)`); `estimate` times a study's runs without regard to them. */
export const sameStepCost = { sameStepCost: true };

/** Upper limit on alpha, beyond which float32 overflows sooner or later. */
export const MOST_ALPHA = 1e6;

/** Scale of LoRA, for methods that multiply their adapter by `alpha / rank`. */
export const alpha = z
  .number()
  .positive()
  .max(MOST_ALPHA)
  .default(16)
  .describe("scale of the adapter: alpha / rank")
  .meta(sameStepCost);

/** Dropout of an adapter's input, for methods whose adapters are parallel to a layer; PEFT's `lora_dropout`. */
export const adapterDropout = z
  .number()
  .min(0)
  .lt(1)
  .optional()
  .describe("dropout of the adapter's input in training (default: none)");

/** Duration in training: steps (`200`), a share of all steps (`70%`) or epochs (`14epochs`). */
export const duration = z
  .preprocess(
    (value: string | number | undefined) => (typeof value === "number" ? String(value) : value),
    z.string().regex(/^\d+(\.\d+)?(%|epochs?)?$/, 'give steps ("200"), a share ("70%") or epochs ("14epochs")'),
  )
  .optional();

/** Converts a duration to optimizer steps, rounded down. */
export function resolveDuration(text: string, run: RunLength): number;
export function resolveDuration(text: string | undefined, run: RunLength): number | undefined;
export function resolveDuration(
  text: string | undefined,
  { totalSteps, stepsPerEpoch }: RunLength,
): number | undefined {
  if (text === undefined) return undefined;
  const amount = Number.parseFloat(text);
  return Math.floor(
    text.endsWith("%") ? (amount * totalSteps) / 100 : /epoch/.test(text) ? amount * stepsPerEpoch : amount,
  );
}

/** @throws UserError if the rank exceeds the layer's smaller side, naming the option that sets it. */
export function checkRank(rank: number, { name, inFeatures, outFeatures }: LinearModule, option = "rank"): void {
  if (rank > Math.min(inFeatures, outFeatures)) {
    throw new UserError(
      `rank ${rank} exceeds that of layer "${name}" [${outFeatures}, ${inFeatures}]; give a lower ${opt(option)}`,
    );
  }
}
