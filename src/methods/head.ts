import { z } from "zod";
import type { MethodDefinition } from "./method.ts";

const options = z.object({});

/** The head alone: the base model stays as it is. The baseline that every other method has to beat. */
export const head: MethodDefinition<typeof options> = {
  name: "head",
  summary: "the classification head alone, as a baseline",
  recipe: { learningRate: 4e-3, headLearningRate: 4e-3 },
  options,
  adapt: () => ({ modules: [], parameters: [], trainable: new Set() }),
};
