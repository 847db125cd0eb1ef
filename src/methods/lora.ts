import { z } from "zod";
import { gemm } from "../graph/ops.ts";
import { constant, downProjection } from "./initializers.ts";
import type { MethodDefinition } from "./method.ts";
import { alpha, checkRank, targetModules } from "./options.ts";
import { adaptOnly, selectSites } from "./target-modules.ts";

const options = z.object({
  rank: z.int().positive().default(8).describe("rank of the adapter"),
  alpha,
  targetModules,
});

/**
 * LoRA (Hu et al. 2022, arXiv 2106.09685; spec section 6): `y = W0 x + (α/r) B A x`, A `[rank, in]` and B `[out, rank]`
 * trained, B = 0 at the start. As Hugging Face PEFT's.
 */
export const lora: MethodDefinition<typeof options> = {
  name: "lora",
  summary: "low-rank adaptation",
  recipe: { learningRate: 4e-4, headLearningRate: 4e-4 },
  options,

  create({ rank, alpha, targetModules }, { sites }) {
    const adapted = selectSites(sites, targetModules);
    const parameters = adapted.flatMap((site) => {
      checkRank(rank, site);
      const { name, inFeatures, outFeatures } = site;
      return [
        { name: `${name}.A`, shape: [rank, inFeatures], initialize: downProjection, decays: true },
        { name: `${name}.B`, shape: [outFeatures, rank], initialize: constant(0), decays: true },
      ];
    });
    const names = new Set(parameters.map(({ name }) => name));
    return {
      parameters,
      trainable: () => names,
      adapt: adaptOnly(adapted, (parameter, x, layer, { name }) => {
        const down = gemm(x, parameter(`${name}.A`), { transB: true });
        return gemm(down, parameter(`${name}.B`), { transB: true, alpha: alpha / rank, addend: layer(x) });
      }),
    };
  },
};
