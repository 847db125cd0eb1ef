import { z } from "zod";
import type { MethodDefinition } from "./method.ts";

const options = z.object({});

/**
 * The head alone: the base model stays as it is. The baseline that every other method has to beat: where it is fitted outright
 * there is nothing more to train.
 */
export const head: MethodDefinition<typeof options> = {
  name: "head",
  summary: "the classification head alone, as a baseline",
  recipe: { learningRate: 4e-3, headLearningRate: 4e-3 },
  headOnly: true,
  options,
  adapt: () => ({ modules: [], parameters: [], trainable: new Set() }),
};
