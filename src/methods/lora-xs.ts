import { z } from "zod";
import { gemm } from "../graph/ops.ts";
import type { Tensor } from "../graph/tensor.ts";
import { constant, kaimingUniform } from "./initializers.ts";
import { product } from "./matrix.ts";
import { type AdapterParameter, type MethodDefinition, namesOf } from "./method.ts";
import { adapterDropout, checkRank, targetModules } from "./options.ts";
import { initProjections, startingProjections, usualSingularValue } from "./starts/starts.ts";
import { selectModules } from "./target-modules.ts";

const options = z.object({
  rank: z.int().positive().default(34).describe("rank of the projections; rank² numbers train in each layer"),
  initProjections: initProjections.default("weights"),
  adapterDropout,
  targetModules,
});

/**
 * LoRA-XS (Bałazy et al. 2024, arXiv 2405.17604): `y = W0 x + B R A x`, with A `[rank, in]` and B `[out, rank]` frozen, and R
 * `[rank, rank]`, 0 at the start, trained. A has the right singular vectors of W0 with its largest singular values, B the left ones times
 * these values. With the start from gradients it is near LoRA-SB (Ponkshe et al. 2024, arXiv 2411.19557).
 */
export const loraXs: MethodDefinition<typeof options> = {
  name: "lora-xs",
  summary: "a small trained matrix between frozen projections, which start from the weights' singular vectors",
  recipe: { learningRate: 2e-3, headLearningRate: 4e-3 },
  options,
  shapeOptions: ["rank", "targetModules"],

  adapt({ rank, adapterDropout, targetModules }, modules) {
    const adapted = selectModules(modules, targetModules);
    const initialize = kaimingUniform(1);
    const parameters = adapted.flatMap((module): AdapterParameter[] => {
      checkRank(rank, module);
      const { name, inFeatures, outFeatures } = module;
      return [
        { name: `${name}.A`, shape: [rank, inFeatures], initialize, decays: false },
        { name: `${name}.B`, shape: [outFeatures, rank], initialize, decays: false },
        { name: `${name}.R`, shape: [rank, rank], initialize: constant(0), decays: true },
      ];
    });
    return {
      modules: adapted,
      parameters,
      trainable: namesOf(parameters.filter(({ name }) => name.endsWith(".R"))),
      inputDropout: adapterDropout,
      adapt(parameter, x, layer, { name }) {
        const down = gemm(x, parameter(`${name}.A`), { transB: true });
        const turned = gemm(down, parameter(`${name}.R`), { transB: true });
        return gemm(turned, parameter(`${name}.B`), { transB: true, addend: layer(x) });
      },
      asLora({ name }, values) {
        const own = (part: string): Tensor<"float32"> => values.get(`${name}.${part}`)!;
        return { rank, alpha: rank, A: product(own("R"), own("A")), B: own("B") };
      },
    };
  },

  start: ({ rank, initProjections }, { modules }, from) =>
    startingProjections(initProjections, modules, rank, from, ({ module, values }) => ({
      A: 1,
      B: initProjections === "weights" ? values : usualSingularValue(from.weightOf(module.name)),
    })),
};
