import { z } from "zod";
import type { Value } from "../graph/graph.ts";
import { abs, add, gemm, mul, sumAll } from "../graph/ops.ts";
import { constant, downProjection, normal } from "./initializers.ts";
import { openGates } from "./low-rank.ts";
import { type MethodDefinition, namesOf } from "./method.ts";
import { adapterDropout, alpha, targetModules } from "./options.ts";
import { adaloraOnGlue, repeatsPapers, setting } from "./published.ts";
import { selectModules } from "./target-modules.ts";

const options = z.object({
  rank: z.int().positive().default(8).describe("gates per layer: the rank at the start"),
  alpha,
  adapterDropout,
  targetModules,
  gatePenalty: z
    .number()
    .min(0)
    .default(10)
    .describe("λ1: weight in the loss of the gates' mean absolute value")
    .meta(repeatsPapers),
  gateThreshold: z
    .number()
    .min(0)
    .default(3e-4)
    .describe("λ2: amount by which every step shrinks a gate")
    .meta(repeatsPapers),
});

/**
 * SoRA (Ding et al. 2023, arXiv 2311.11696): `y = W0 x + (α/r) B diag(g) A x`, with A `[rank, in]` and
 * B `[out, rank]` as in LoRA, and gates g `[rank]` from N(0, 1). The loss includes `λ1 Σ|g| / (number of gates)`. Gates
 * have no weight decay; after each AdamW step they go through a soft threshold λ2. That of the paper sets `|g| < λ2` to 0; the
 * released code, which this implements, first shrinks and then tests, so it sets `|g| < 2 λ2` to 0. The rows and columns of
 * closed gates do not count as trainable.
 */
export const sora: MethodDefinition<typeof options> = {
  name: "sora",
  summary: "sparse low-rank adaptation: LoRA with gates that close",
  recipe: { learningRate: 8e-4, headLearningRate: 8e-4 },
  published: {
    source:
      "SoRA's released script (github.com/TsinghuaC3I/SoRA, scripts/run_glue_sora_no_schedule.sh), DeBERTaV3-base, for STS-B; for the others AdaLoRA's settings, with which SoRA's other script trains RTE",
    tasks: { ...adaloraOnGlue, stsb: setting(20, 8, 8e-4) },
  },
  options,
  shapeOptions: ["rank", "alpha", "targetModules"],

  adapt({ rank, alpha, adapterDropout, targetModules, gatePenalty }, modules) {
    const adapted = selectModules(modules, targetModules);
    const parameters = adapted.flatMap(({ name, inFeatures, outFeatures }) => [
      { name: `${name}.A`, shape: [rank, inFeatures], initialize: downProjection, decays: true },
      { name: `${name}.B`, shape: [outFeatures, rank], initialize: constant(0), decays: true },
      { name: `${name}.g`, shape: [rank], initialize: normal(1), decays: false },
    ]);
    return {
      modules: adapted,
      parameters,
      trainable: namesOf(parameters),
      inputDropout: adapterDropout,
      adapt(parameter, x, layer, { name }) {
        const gated = mul(gemm(x, parameter(`${name}.A`), { transB: true }), parameter(`${name}.g`));
        return gemm(gated, parameter(`${name}.B`), { transB: true, alpha: alpha / rank, addend: layer(x) });
      },
      penalty(parameter) {
        const sums = adapted.map(({ name }): Value => sumAll(abs(parameter(`${name}.g`))));
        return mul(
          sums.reduce((total, one) => add(total, one)),
          gatePenalty / (rank * adapted.length),
        );
      },
      asLora: ({ name }, values) =>
        openGates(values.get(`${name}.A`)!, values.get(`${name}.g`)!, values.get(`${name}.B`)!, alpha / rank),
    };
  },

  schedule({ gateThreshold }, { modules, trainable }) {
    return {
      trainable: () => trainable,
      afterStep(_step, _gradients, values) {
        for (const { name } of modules) softThreshold(values.get(`${name}.g`)!.data, gateThreshold);
      },
      countTrainable: (values) =>
        modules.reduce((total, { name, inFeatures, outFeatures }) => {
          const open = values.get(`${name}.g`)!.data.filter((gate) => gate !== 0).length;
          return total + open * (inFeatures + outFeatures + 1);
        }, 0),
    };
  },
};

/** Shrinks every gate by `threshold`, then closes those within it, in place and in float32, as in the released code. */
function softThreshold(gates: Float32Array, threshold: number): void {
  const limit = Math.fround(threshold);
  for (let i = 0; i < gates.length; i++) {
    const gate = gates[i]!;
    const shrunk = Math.fround(gate > limit ? gate - limit : gate < -limit ? gate + limit : gate);
    gates[i] = Math.abs(shrunk) < limit ? 0 : shrunk;
  }
}
