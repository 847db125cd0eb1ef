import { z } from "zod";
import { LinearExpression } from "../checkpoints/linear-expression.ts";
import { gemm } from "../graph/ops.ts";
import type { Tensor } from "../graph/tensor.ts";
import { decomposed, rowNorms } from "./dora.ts";
import { constant, downProjection } from "./initializers.ts";
import { indices, spreadColumns, spreadRows } from "./matrix.ts";
import { type AdapterParameter, type MethodDefinition, namesOf } from "./method.ts";
import { adapterDropout, alpha, checkRank, targetModules } from "./options.ts";
import { peftReading } from "./peft.ts";
import { setting } from "./published.ts";
import { selectModules } from "./target-modules.ts";

const options = z.object({
  rank: z.int().positive().default(8).describe("rank of the adapter"),
  alpha,
  useRslora: z
    .boolean()
    .default(false)
    .describe("scale the adapter by alpha / √rank, which keeps high ranks learning (rsLoRA)"),
  freezeA: z
    .boolean()
    .default(false)
    .describe("train B alone: half the parameters and fewer activations in memory (LoRA-FA)"),
  loraplusLrRatio: z
    .number()
    .positive()
    .default(1)
    .describe("ratio of B's learning rate to A's (LoRA+, whose authors suggest 16)"),
  useDora: z.boolean().default(false).describe("train the length of each row of the adapted weights, too (DoRA)"),
  adapterDropout,
  targetModules,
});

/**
 * LoRA (Hu et al. 2022, arXiv 2106.09685): `y = W0 x + (α/r) B A x`, A `[rank, in]` and B `[out, rank]` trained, B = 0 at
 * the start. As Hugging Face PEFT's. Its variants that change one thing are options, by PEFT's names where it has one: rsLoRA
 * (Kalajdzievski 2023, arXiv 2312.03732), LoRA-FA (Zhang et al. 2023, arXiv 2308.03303), LoRA+ (Hayou et al. 2024, arXiv 2402.12354)
 * and DoRA (see {@link decomposed}), whose lengths `m` `[out]` start as those of the base's rows.
 */
export const lora: MethodDefinition<typeof options> = {
  name: "lora",
  summary: "low-rank adaptation",
  recipe: { learningRate: 4e-4, headLearningRate: 4e-4, contrastLearningRate: 2e-3 },
  published: {
    source: "LoRA (arXiv 2106.09685), appendix D, RoBERTa-base; its authors have no settings for DeBERTaV3-base",
    tasks: {
      cola: setting(80, 32, 4e-4),
      sst2: setting(60, 16, 5e-4),
      mrpc: setting(30, 16, 4e-4),
      stsb: setting(40, 16, 4e-4),
      rte: setting(80, 32, 5e-4),
      qnli: setting(25, 32, 4e-4),
      mnli: setting(30, 16, 5e-4),
      qqp: setting(25, 16, 5e-4),
    },
  },
  options,
  shapeOptions: ["rank", "alpha", "useRslora", "useDora", "targetModules"],

  adapt(settings, modules) {
    const { rank, alpha, useRslora, useDora, freezeA, adapterDropout, targetModules } = settings;
    const { loraplusLrRatio: rateFactor } = settings;
    const scale = alpha / (useRslora ? Math.sqrt(rank) : rank);
    const adapted = selectModules(modules, targetModules);
    const parameters = adapted.flatMap((module): AdapterParameter[] => {
      checkRank(rank, module);
      const { name, inFeatures, outFeatures } = module;
      return [
        { name: `${name}.A`, shape: [rank, inFeatures], initialize: downProjection, decays: true },
        { name: `${name}.B`, shape: [outFeatures, rank], initialize: constant(0), decays: true, rateFactor },
        ...(useDora ? lengths(name, outFeatures, rateFactor) : []),
      ];
    });
    return {
      modules: adapted,
      parameters,
      trainable: namesOf(parameters.filter(({ name, ofBase }) => !ofBase && !(freezeA && name.endsWith(".A")))),
      inputDropout: adapterDropout,
      adapt(parameter, x, layer, { name }) {
        const [A, B] = [parameter(`${name}.A`), parameter(`${name}.B`)];
        const down = gemm(x, A, { transB: true });
        const sum = gemm(down, B, { transB: true, alpha: scale, addend: layer(x) });
        if (!useDora) return sum;
        const [magnitude, baseNorms] = [parameter(`${name}.m`), parameter(`${name}.m0`)];
        return decomposed({ sum, layer, A, B, scale, magnitude, baseNorms });
      },
      asLora: ({ name }, values) => ({
        rank,
        alpha: scale * rank,
        A: values.get(`${name}.A`)!,
        B: values.get(`${name}.B`)!,
        magnitude: values.get(`${name}.m`),
      }),
    };
  },

  peft: {
    read: peftReading({
      type: "LORA",
      config: z.looseObject({
        r: z.int().positive(),
        lora_alpha: z.number().positive(),
        use_rslora: z.boolean().default(false),
        use_dora: z.boolean().default(false),
        rank_pattern: z.record(z.string(), z.int().positive()).nullish(),
        alpha_pattern: z.record(z.string(), z.number().positive()).nullish(),
      }),
      parts: ({ use_dora }) => ["lora_A", "lora_B", ...(use_dora ? ["lora_magnitude_vector"] : [])],
      /** Ranks and alphas that differ come out as the largest rank, smaller ones filled with zeros, and a scale of 1. */
      read(config, { layers }) {
        const own = layers.map(({ module, moduleName, tensor }) => {
          const rank = patternValue(config.rank_pattern, moduleName) ?? config.r;
          const alpha = patternValue(config.alpha_pattern, moduleName) ?? config.lora_alpha;
          return {
            module,
            rank,
            scale: alpha / (config.use_rslora ? Math.sqrt(rank) : rank),
            A: tensor("lora_A", [rank, module.inFeatures]),
            B: tensor("lora_B", [module.outFeatures, rank]),
            magnitude: config.use_dora ? tensor("lora_magnitude_vector", [module.outFeatures]) : undefined,
          };
        });
        const rank = Math.max(...own.map((layer) => layer.rank));
        const { scale } = own[0]!;
        const even = own.every((layer) => layer.rank === rank && layer.scale === scale);
        const parameters = new Map<string, Tensor<"float32">>();
        for (const { module, A, B, magnitude, ...layer } of own) {
          const all = indices(layer.rank);
          parameters.set(`${module.name}.A`, even ? A : spreadRows(A, all, rank));
          parameters.set(`${module.name}.B`, even ? B : spreadColumns(B, all, rank, layer.scale));
          if (magnitude) parameters.set(`${module.name}.m`, magnitude);
        }
        const alpha = even ? scale * rank : rank;
        return { options: { rank, alpha, ...(config.use_dora && { useDora: true }) }, parameters };
      },
    }),
  },
};

/** DoRA's lengths of rows, those that train and those of the base; decay would shrink the base's own weights. */
function lengths(module: string, outFeatures: number, rateFactor: number): AdapterParameter[] {
  const initialize: AdapterParameter["initialize"] = (_shape, _random, weight) => rowNorms(weight());
  const common = { shape: [outFeatures], decays: false, initialize };
  return [
    { ...common, name: `${module}.m`, rateFactor },
    { ...common, name: `${module}.m0`, ofBase: true },
  ];
}

/** A layer's own value, as PEFT finds it: the first pattern that the end of its name matches. */
function patternValue(patterns: Readonly<Record<string, number>> | null | undefined, moduleName: string) {
  return Object.entries(patterns ?? {}).find(([pattern]) => expressionOf(pattern).test(moduleName))?.[1];
}

const expressionOf = (pattern: string): LinearExpression =>
  new LinearExpression(`^(.*\\.)?(${pattern})$`, "adapter_config.json");
