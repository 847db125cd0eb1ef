import { z } from "zod";
import type { MethodDefinition } from "./method.ts";
import { setting } from "./published.ts";

const options = z.object({});

/** Full fine-tuning: every weight of the backbone trains, without an adapter. */
export const full: MethodDefinition<typeof options> = {
  name: "full",
  summary: "full fine-tuning of every weight",
  recipe: { learningRate: 2e-5, headLearningRate: 2e-5 },
  published: {
    source:
      "DeBERTa's released scripts (github.com/microsoft/DeBERTa, experiments/glue): MNLI for DeBERTaV3-base, the others for DeBERTa-base",
    tasks: {
      cola: setting(6, 32, 2e-5),
      sst2: setting(6, 32, 2e-5),
      mrpc: setting(6, 32, 2e-5),
      stsb: setting(6, 32, 2e-5),
      rte: setting(6, 32, 2e-5),
      qnli: setting(4, 32, 2e-5),
      mnli: setting(3, 64, 1.5e-5),
      qqp: setting(8, 64, 2e-5),
    },
  },
  options,
  adapt: () => ({ modules: [], parameters: [], trainable: new Set(), trainsBackbone: true }),
};
