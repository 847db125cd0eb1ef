import { z } from "zod";
import type { LinearModule } from "../architectures/model-parts.ts";
import { LinearExpression } from "../checkpoints/linear-expression.ts";
import { UserError } from "../errors.ts";
import type { Value } from "../graph/graph.ts";
import { concat, gemm, neg } from "../graph/ops.ts";
import type { Tensor } from "../graph/tensor.ts";
import { decomposed, lengthParameters } from "./dora.ts";
import { constant, downProjection } from "./initializers.ts";
import { indices, spreadColumns, spreadRows } from "./matrix.ts";
import { type AdapterParameter, type MethodDefinition, namesOf } from "./method.ts";
import { adapterDropout, alpha, checkRank, targetModules } from "./options.ts";
import { peftReading } from "./peft.ts";
import { changeAsLora, principalParameters } from "./pissa.ts";
import { mathRun, setting, summaryRuns } from "./published.ts";
import { startingProjections } from "./starts/starts.ts";
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
    .describe("train only B: half the parameters and fewer activations in memory (LoRA-FA)"),
  loraplusLrRatio: z
    .number()
    .positive()
    .default(1)
    .describe("ratio of B's learning rate to A's (LoRA+, whose authors suggest 16)"),
  useDora: z.boolean().default(false).describe("also train the norm of each row of the adapted weights (DoRA)"),
  initLoraWeights: z
    .enum(["kaiming", "pissa", "activations", "gradients"])
    .default("kaiming")
    .describe(
      "how A and B start: from the weight's largest singular values (PiSSA), or B at 0 and A at random or with the main directions of the layer's inputs (activations) or of the gradient of its weight",
    ),
  adapterDropout,
  targetModules,
});

/**
 * LoRA (Hu et al. 2022, arXiv 2106.09685), as in Hugging Face PEFT: `y = W0 x + (α/r) B A x`, with A `[rank, in]` and B `[out, rank]`
 * trained and B = 0 at the start. Variants that change one thing are options, with PEFT's names if it has them: rsLoRA
 * (Kalajdzievski 2023, arXiv 2312.03732), LoRA-FA (Zhang et al. 2023, arXiv 2308.03303), LoRA+ (Hayou et al. 2024, arXiv 2402.12354)
 * and DoRA (see {@link decomposed}), whose norms `m` `[out]` start as those of the base's rows. PiSSA (see {@link principalPart}) starts from
 * the weight itself: the initial A and B are also kept as A0 and B0 and subtracted, `y = W0 x + (α/r) (B A - B0 A0) x`, so that the
 * base does not change.
 */
export const lora: MethodDefinition<typeof options> = {
  name: "lora",
  summary: "low-rank adaptation",
  // Compared with 4e-4 in docs/results/which-method.md.
  recipe: { learningRate: 4e-4, headLearningRate: 4e-4, contrastLearningRate: 2e-3, largeLearningRate: 8e-4 },
  published: {
    source:
      "LoRA (arXiv 2106.09685), appendix D, RoBERTa-base (its authors have none for DeBERTaV3-base); for GSM8K LLM-Adapters, for summarization AdaLoRA's BART scripts",
    tasks: {
      cola: setting(80, 32, 4e-4),
      sst2: setting(60, 16, 5e-4),
      mrpc: setting(30, 16, 4e-4),
      stsb: setting(40, 16, 4e-4),
      rte: setting(80, 32, 5e-4),
      qnli: setting(25, 32, 4e-4),
      mnli: setting(30, 16, 5e-4),
      qqp: setting(25, 16, 5e-4),
      gsm8k: mathRun(16, 3e-4),
      summarization: { ...summaryRuns.cnnDailyMail, rank: 16, alpha: 32 },
      xsum: { ...summaryRuns.xsum, rank: 16, alpha: 32 },
    },
    notes: {
      gsm8k:
        "AFLoRA's released llama_7b_math_lora.sh cannot run with its batch of 1 in parts of 4, so the batch of 16 is that of LLM-Adapters (math_running_commands), whose script it is",
    },
  },
  options,
  shapeOptions: ["rank", "alpha", "useRslora", "useDora", "initLoraWeights", "targetModules"],

  adapt(settings, modules) {
    const { rank, alpha, useRslora, useDora, freezeA, adapterDropout, targetModules } = settings;
    const pissa = settings.initLoraWeights === "pissa";
    const scale = alpha / (useRslora ? Math.sqrt(rank) : rank);
    const adapted = selectModules(modules, targetModules);
    const parameters = adapted.flatMap((module) => parametersOf(module, settings, scale));
    const trains = ({ name }: AdapterParameter) => /\.[ABm]$/.test(name) && !(freezeA && name.endsWith(".A"));
    return {
      modules: adapted,
      parameters,
      trainable: namesOf(parameters.filter(trains)),
      inputDropout: adapterDropout,
      adapt(parameter, x, layer, { name }) {
        const own = (part: string): Value => parameter(`${name}.${part}`);
        const product = (A: Value, B: Value, alpha: number, addend: Value): Value =>
          gemm(gemm(x, A, { transB: true }), B, { transB: true, alpha, addend });
        const base = pissa ? product(own("A0"), own("B0"), -scale, layer(x)) : layer(x);
        const sum = product(own("A"), own("B"), scale, base);
        if (!useDora) return sum;
        const A = pissa ? concat([own("A"), own("A0")], 0) : own("A");
        const B = pissa ? concat([own("B"), neg(own("B0"))], 1) : own("B");
        return decomposed({ sum, layer, A, B, scale, magnitude: own("m"), baseNorms: own("m0") });
      },
      asLora(module, values) {
        const own = (part: string): Tensor<"float32"> => values.get(`${module.name}.${part}`)!;
        const [A, B] = [own("A"), own("B")];
        const pair = pissa ? changeAsLora(module, { A, B, A0: own("A0"), B0: own("B0") }) : { rank, A, B };
        return { ...pair, alpha: scale * pair.rank, ...(useDora && { magnitude: own("m") }) };
      },
    };
  },

  /** Rows of A that are directions are as long as random rows are on average. */
  async start({ rank, initLoraWeights }, { modules }, from) {
    if (initLoraWeights === "kaiming" || initLoraWeights === "pissa") return new Map();
    const lengths = { A: Math.sqrt(1 / 3), B: 0 };
    return startingProjections(initLoraWeights, modules, rank, from, () => lengths);
  },

  peft: {
    read: peftReading({
      type: "LORA",
      config: z.looseObject({
        r: z.int().positive(),
        lora_alpha: z.number().positive(),
        use_rslora: z.boolean().default(false),
        use_dora: z.boolean().default(false),
        init_lora_weights: z.unknown().optional(),
        rank_pattern: z.record(z.string(), z.int().positive()).nullish(),
        alpha_pattern: z.record(z.string(), z.number().positive()).nullish(),
      }),
      parts: ({ use_dora }) => ["lora_A", "lora_B", ...(use_dora ? ["lora_magnitude_vector"] : [])],
      /** If ranks or alphas differ, the result has the largest rank, with smaller ones padded with zeros, and a scale of 1. */
      read(config, { location, layers }) {
        refuseChangedBase(config.init_lora_weights, location);
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

/** Parameters of a layer's adapter. */
function parametersOf(
  module: LinearModule,
  { rank, useDora, initLoraWeights, loraplusLrRatio: rateFactor }: z.output<typeof options>,
  scale: number,
): AdapterParameter[] {
  if (initLoraWeights !== "kaiming") checkRank(rank, module);
  const { name, inFeatures, outFeatures } = module;
  const lengths = useDora ? lengthParameters(module, rateFactor) : [];
  if (initLoraWeights === "pissa") return [...principalParameters(module, rank, scale, rateFactor), ...lengths];
  return [
    { name: `${name}.A`, shape: [rank, inFeatures], initialize: downProjection, decays: true },
    { name: `${name}.B`, shape: [outFeatures, rank], initialize: constant(0), decays: true, rateFactor },
    ...lengths,
  ];
}

/** @throws UserError if the adapter needs a base model that its initialization changed, which its folder does not contain. */
function refuseChangedBase(start: unknown, location: string): void {
  if (typeof start !== "string" || !/^(pissa|olora|corda|loftq|lora_ga)/.test(start)) return;
  throw new UserError(
    `${location}: the adapter needs a base model changed by "init_lora_weights": "${start}", not the original one; if PEFT supports it, save the adapter with path_initial_model_for_weight_conversion, which makes it an ordinary LoRA`,
  );
}

/** Value for a layer, by PEFT's rule: that of the first pattern that matches the end of its name. */
function patternValue(patterns: Readonly<Record<string, number>> | null | undefined, moduleName: string) {
  return Object.entries(patterns ?? {}).find(([pattern]) => expressionOf(pattern).test(moduleName))?.[1];
}

const expressionOf = (pattern: string): LinearExpression =>
  new LinearExpression(`^(.*\\.)?(${pattern})$`, "adapter_config.json");
