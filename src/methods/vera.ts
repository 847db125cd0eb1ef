import { z } from "zod";
import type { LinearModule } from "../architectures/model-parts.ts";
import { opt, UserError } from "../errors.ts";
import { add, gemm, mul, sliceSize } from "../graph/ops.ts";
import type { Tensor } from "../graph/tensor.ts";
import { constant, kaimingUniform } from "./initializers.ts";
import { indices, scaleRows, takeColumns, takeRows } from "./matrix.ts";
import { type AdapterParameter, type MethodDefinition, namesOf } from "./method.ts";
import { adapterDropout, targetModules } from "./options.ts";
import { peftReading } from "./peft.ts";
import { repeatsPapers, setting } from "./published.ts";
import { selectModules } from "./target-modules.ts";

const options = z.object({
  rank: z.int().positive().default(1024).describe("rank of the random projections; may exceed a layer's size"),
  sharing: z
    .enum(["shape", "sliced", "layer"])
    .default("shape")
    .describe("layers that share A and B: those of the same shape, all (sliced to size, as in PEFT's VeRA), or none")
    .meta(repeatsPapers),
  adapterDropout,
  targetModules,
});

/** Names of a layer's projections, and the sizes of the shared pair. */
interface Pair {
  A: string;
  B: string;
  columns: number;
  rows: number;
}

/**
 * VeRA (Kopiczko et al. 2024, arXiv 2310.11454), called ELoRA in the AFLoRA paper: `y = W0 x + Λb B Λd A x` with A `[rank, in]` and
 * B `[out, rank]` random and always frozen; the vectors d `[rank]`, initially 0.1, and b `[out]`, initially 0,
 * train. A and B are shared as in the comparison by AFLoRA's authors (`shape`), as in Hugging Face PEFT (`sliced`), or
 * not at all (`layer`).
 */
export const vera: MethodDefinition<typeof options> = {
  name: "vera",
  aliases: ["elora"],
  summary: "trained vectors between random frozen projections; elora, its name in AFLoRA's paper, works too",
  recipe: { learningRate: 4e-3, headLearningRate: 4e-3 },
  published: {
    source:
      "VeRA (arXiv 2310.11454), appendix, RoBERTa-base, rank 1024; for MNLI and QQP AFLoRA's released scripts, which run this layer at that rank",
    tasks: {
      cola: setting(80, 64, 1e-2),
      sst2: setting(60, 64, 4e-3),
      mrpc: setting(30, 64, 1e-2, 4e-3),
      stsb: setting(80, 64, 1e-2),
      rte: setting(160, 64, 4e-3, 1e-2),
      qnli: setting(25, 64, 1e-2, 4e-3),
      mnli: setting(10, 256, 1e-2, 4e-3),
      qqp: setting(10, 256, 4e-3),
    },
  },
  options,
  shapeOptions: ["rank", "sharing", "targetModules"],

  adapt({ rank, sharing, adapterDropout, targetModules }, modules) {
    const adapted = selectModules(modules, targetModules);
    const largest = largestOf(adapted);
    const pairOf = ({ name, inFeatures, outFeatures }: LinearModule): Pair => {
      if (sharing === "sliced") return { A: "shared.A", B: "shared.B", ...largest };
      const owner = sharing === "layer" ? name : `shared.${outFeatures}x${inFeatures}`;
      return { A: `${owner}.A`, B: `${owner}.B`, columns: inFeatures, rows: outFeatures };
    };

    const projection = kaimingUniform(Math.SQRT2);
    const projections = new Map<string, AdapterParameter>();
    const vectors: AdapterParameter[] = [];
    for (const module of adapted) {
      const { A, B, columns, rows } = pairOf(module);
      projections.set(A, { name: A, shape: [rank, columns], initialize: projection, decays: true });
      projections.set(B, { name: B, shape: [rows, rank], initialize: projection, decays: true });
      vectors.push(
        { name: `${module.name}.d`, shape: [rank], initialize: constant(0.1), decays: true },
        { name: `${module.name}.b`, shape: [module.outFeatures], initialize: constant(0), decays: true },
      );
    }
    return {
      modules: adapted,
      parameters: [...projections.values(), ...vectors],
      trainable: namesOf(vectors),
      inputDropout: adapterDropout,
      adapt(parameter, x, layer, module) {
        const { A, B, columns, rows } = pairOf(module);
        const { name, inFeatures, outFeatures } = module;
        // A slice is a copy, but layers of one size share it, because equal nodes of a graph are merged.
        const a = inFeatures < columns ? sliceSize(parameter(A), 1, 0, inFeatures) : parameter(A);
        const b = outFeatures < rows ? sliceSize(parameter(B), 0, 0, outFeatures) : parameter(B);
        const down = gemm(x, a, { transB: true });
        const up = gemm(mul(down, parameter(`${name}.d`)), b, { transB: true });
        // b scales the outputs, so its gradient is a sum over tokens: at a high rank, scaling B's rows would cost
        // another product of this size.
        return add(layer(x), mul(up, parameter(`${name}.b`)));
      },
      asLora(module, values) {
        const { name, inFeatures, outFeatures } = module;
        if (rank > Math.min(inFeatures, outFeatures)) {
          throw new UserError(
            `as LoRA, rank ${rank} exceeds that of layer "${name}" [${outFeatures}, ${inFeatures}], and the adapter would be larger than the model; use ${opt("format")} merged, or train with ${opt("sharing")} sliced, which PEFT supports as VeRA`,
          );
        }
        const { A, B } = pairOf(module);
        const a = takeColumns(values.get(A)!, indices(inFeatures));
        const b = takeRows(values.get(B)!, indices(outFeatures));
        const [d, scale] = [values.get(`${name}.d`)!, values.get(`${name}.b`)!];
        return { rank, alpha: rank, A: scaleRows(a, d), B: scaleRows(b, scale) };
      },
    };
  },

  peft: {
    write({ rank, sharing, adapterDropout }, layers, values) {
      if (sharing !== "sliced") return undefined;
      const tensors = new Map<string, Tensor<"float32">>();
      for (const { module, moduleName } of layers) {
        tensors.set(`${moduleName}.vera_lambda_d`, values.get(`${module.name}.d`)!);
        tensors.set(`${moduleName}.vera_lambda_b`, values.get(`${module.name}.b`)!);
      }
      return {
        config: {
          peft_type: "VERA",
          r: rank,
          vera_dropout: adapterDropout ?? 0,
          projection_prng_key: 0,
          save_projection: true,
        },
        layers: tensors,
        shared: new Map([
          ["vera_A", values.get("shared.A")!],
          ["vera_B", values.get("shared.B")!],
        ]),
      };
    },

    read: peftReading({
      type: "VERA",
      config: z.looseObject({ r: z.int().positive() }),
      parts: () => ["vera_lambda_d", "vera_lambda_b"],
      shared: ["vera_A", "vera_B"],
      read({ r: rank }, { location, layers, shared }) {
        const { columns, rows } = largestOf(layers.map(({ module }) => module));
        const [A, B] = [shared("vera_A", [rank, columns]), shared("vera_B", [rows, rank])];
        if (!A || !B) {
          throw new UserError(
            `${location} has no vera_A and vera_B, and only PyTorch can draw them again; save the adapter with save_projection=True`,
          );
        }
        const parameters = new Map([
          ["shared.A", A],
          ["shared.B", B],
        ]);
        for (const { module, tensor } of layers) {
          parameters.set(`${module.name}.d`, tensor("vera_lambda_d", [rank]));
          parameters.set(`${module.name}.b`, tensor("vera_lambda_b", [module.outFeatures]));
        }
        return { options: { rank, sharing: "sliced" }, parameters };
      },
    }),
  },
};

/** Sizes of a pair of projections from which those of all layers can be sliced. */
function largestOf(modules: readonly LinearModule[]): Pick<Pair, "columns" | "rows"> {
  return {
    columns: Math.max(...modules.map(({ inFeatures }) => inFeatures)),
    rows: Math.max(...modules.map(({ outFeatures }) => outFeatures)),
  };
}
