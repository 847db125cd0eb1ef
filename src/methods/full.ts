import { z } from "zod";
import type { MethodDefinition } from "./method.ts";

const options = z.object({});

/** Full fine-tuning (spec section 6): every weight of the backbone trains, and nothing stands beside it. */
export const full: MethodDefinition<typeof options> = {
  name: "full",
  summary: "full fine-tuning of every weight",
  recipe: { learningRate: 2e-5, headLearningRate: 2e-5 },
  options,
  create: () => ({ parameters: [], trainsBackbone: true, trainable: () => new Set() }),
};
