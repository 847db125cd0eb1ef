import { z } from "zod";
import type { MethodDefinition } from "./method.ts";

const options = z.object({});

/**
 * Only the head trains; the base model does not change. This is the baseline for all other methods. If the head is fitted directly,
 * nothing is left to train.
 */
export const head: MethodDefinition<typeof options> = {
  name: "head",
  summary: "the classification head alone, as a baseline",
  recipe: { learningRate: 4e-3, headLearningRate: 4e-3 },
  headOnly: true,
  options,
  adapt: () => ({ modules: [], parameters: [], trainable: new Set() }),
};
