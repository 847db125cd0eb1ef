import { z } from "zod";
import { add, gemm, mul, sliceSize } from "../graph/ops.ts";
import type { LinearSite } from "../models/architecture.ts";
import { constant, kaimingUniform } from "./initializers.ts";
import type { AdapterParameter, MethodDefinition } from "./method.ts";
import { targetModules } from "./options.ts";
import { adaptOnly, selectSites } from "./target-modules.ts";

const options = z.object({
  rank: z.int().positive().default(1024).describe("rank of the random projections; may be more than a layer's size"),
  sharing: z
    .enum(["shape", "sliced", "layer"])
    .default("shape")
    .describe("which layers share A and B: those of one shape, all of them (cut to size, as PEFT's VeRA), or none"),
  targetModules,
});

/** A layer's projections: their names, and the sizes that the shared pair has. */
interface Pair {
  A: string;
  B: string;
  columns: number;
  rows: number;
}

/**
 * ELoRA, published as VeRA (Kopiczko et al. 2024, arXiv 2310.11454; spec section 6): `y = W0 x + Λb B Λd A x` with
 * A `[rank, in]` and B `[out, rank]` random and frozen throughout; the vectors d `[rank]`, 0.1 at the start, and
 * b `[out]`, 0 at the start, train. A and B are shared as AFLoRA's authors did in their comparison (`shape`), as
 * Hugging Face PEFT does (`sliced`), or not at all (`layer`).
 */
export const elora: MethodDefinition<typeof options> = {
  name: "elora",
  summary: "trained vectors between random frozen projections (VeRA)",
  recipe: { learningRate: 4e-3, headLearningRate: 4e-3 },
  options,

  create({ rank, sharing, targetModules }, { sites }) {
    const adapted = selectSites(sites, targetModules);
    const largest = {
      columns: Math.max(...adapted.map(({ inFeatures }) => inFeatures)),
      rows: Math.max(...adapted.map(({ outFeatures }) => outFeatures)),
    };
    const pairOf = ({ name, inFeatures, outFeatures }: LinearSite): Pair => {
      if (sharing === "sliced") return { A: "shared.A", B: "shared.B", ...largest };
      const owner = sharing === "layer" ? name : `shared.${outFeatures}x${inFeatures}`;
      return { A: `${owner}.A`, B: `${owner}.B`, columns: inFeatures, rows: outFeatures };
    };

    const projection = kaimingUniform(Math.SQRT2);
    const projections = new Map<string, AdapterParameter>();
    const vectors: AdapterParameter[] = [];
    for (const site of adapted) {
      const { A, B, columns, rows } = pairOf(site);
      projections.set(A, { name: A, shape: [rank, columns], initialize: projection, decays: true });
      projections.set(B, { name: B, shape: [rows, rank], initialize: projection, decays: true });
      vectors.push(
        { name: `${site.name}.d`, shape: [rank], initialize: constant(0.1), decays: true },
        { name: `${site.name}.b`, shape: [site.outFeatures], initialize: constant(0), decays: true },
      );
    }
    const names = new Set(vectors.map(({ name }) => name));
    return {
      parameters: [...projections.values(), ...vectors],
      trainable: () => names,
      adapt: adaptOnly(adapted, (parameter, x, layer, site) => {
        const { A, B, columns, rows } = pairOf(site);
        const { name, inFeatures, outFeatures } = site;
        // A cut is a copy, but layers of one size share it: equal nodes of a graph are one node.
        const a = inFeatures < columns ? sliceSize(parameter(A), 1, 0, inFeatures) : parameter(A);
        const b = outFeatures < rows ? sliceSize(parameter(B), 0, 0, outFeatures) : parameter(B);
        const down = gemm(x, a, { transB: true });
        const up = gemm(mul(down, parameter(`${name}.d`)), b, { transB: true });
        // b scales the outputs, so that its gradient is a sum over tokens: at a high rank, scaling B's rows would cost
        // another product as large as this one.
        return add(layer(x), mul(up, parameter(`${name}.b`)));
      }),
    };
  },
};
