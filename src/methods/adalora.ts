import { z } from "zod";
import { UserError } from "../errors.ts";
import type { Value } from "../graph/graph.ts";
import { add, gemm, mul, sqrt, sumAll } from "../graph/ops.ts";
import type { Tensor } from "../graph/tensor.ts";
import { constant, normal } from "./initializers.ts";
import { openGates, openIndices } from "./low-rank.ts";
import { indices, spreadColumns, spreadRows, takeColumns, takeRows } from "./matrix.ts";
import { type MethodDefinition, namesOf } from "./method.ts";
import { adapterDropout, alpha, checkRank, duration, resolveDuration, sameStepCost, targetModules } from "./options.ts";
import { peftReading } from "./peft.ts";
import { adaloraOnGlue, repeatsPapers } from "./published.ts";
import { RankAllocator } from "./rank-allocator.ts";
import { selectModules } from "./target-modules.ts";

const options = z.object({
  rank: z.int().positive().default(8).describe("singular values left per layer at the end, on average"),
  initialRank: z.int().positive().optional().describe("singular values per layer at the start (default: 1.5 × rank)"),
  alpha: alpha.describe("scale of the adapter: alpha / initialRank"),
  adapterDropout,
  targetModules,
  pruneInitial: duration.describe("tinit: nothing is pruned before this point (default: 10%)").meta(repeatsPapers),
  pruneFinal: duration
    .describe("tfinal: length of the final part in which ranks no longer change (default: 50%)")
    .meta(repeatsPapers),
  pruneInterval: z.int().positive().default(10).describe("ΔT: steps between two prunings").meta(repeatsPapers),
  orthogonality: z
    .number()
    .min(0)
    .default(0.5)
    .describe("weight in the loss of the mean of ‖PᵀP - I‖ and ‖QQᵀ - I‖")
    .meta({ ...repeatsPapers, ...sameStepCost }),
  beta1: z
    .number()
    .min(0)
    .lt(1)
    .default(0.85)
    .describe("decay of the average importance")
    .meta({ ...repeatsPapers, ...sameStepCost }),
  beta2: z
    .number()
    .min(0)
    .lt(1)
    .default(0.85)
    .describe("decay of its uncertainty")
    .meta({ ...repeatsPapers, ...sameStepCost }),
});

const initialRankOf = ({ rank, initialRank = Math.round(1.5 * rank) }: z.output<typeof options>): number => initialRank;

/**
 * AdaLoRA (Zhang et al. 2023, arXiv 2303.10512), as in Hugging Face PEFT: `y = W0 x + α/(r + 1e-5) · P Λ Q x` with
 * r the initial rank. Q is `A [r, in]`, Λ is `E [r, 1]`, P is `B [out, r]`, with PEFT's names and shapes; P and Q start from
 * N(0, 0.02²), Λ at 0. A penalty in the loss keeps P and Q nearly orthogonal, and the least important entries of Λ
 * are set to 0 as a budget falls (see {@link RankAllocator}). Such an entry still gets its gradient, so it may return
 * until the budget is final. Trainable parameters are counted as PEFT saves them: the entries of Λ that the latest pruning
 * kept, each with its row of Q and column of P.
 */
export const adalora: MethodDefinition<typeof options> = {
  name: "adalora",
  summary: "low-rank adaptation in the form of an SVD, with the rank budget moved to the layers that matter",
  recipe: { learningRate: 8e-4, headLearningRate: 8e-4 },
  published: {
    source: "AdaLoRA's released scripts (github.com/QingruZhang/AdaLoRA, NLU/scripts), DeBERTaV3-base",
    tasks: adaloraOnGlue,
  },
  options,
  shapeOptions: ["rank", "initialRank", "alpha", "targetModules"],

  adapt(settings, modules) {
    const adapted = selectModules(modules, settings.targetModules);
    const initialRank = initialRankOf(settings);
    const scale = settings.alpha / (initialRank + 1e-5);
    if (initialRank <= settings.rank) {
      throw new UserError(
        `AdaLoRA: nothing can be pruned from rank ${initialRank} to ${settings.rank}; give an initialRank above rank`,
      );
    }
    const parameters = adapted.flatMap((module) => {
      checkRank(initialRank, module, settings.initialRank === undefined ? "rank" : "initialRank");
      const { name, inFeatures, outFeatures } = module;
      return [
        { name: `${name}.A`, shape: [initialRank, inFeatures], initialize: normal(0.02), decays: true },
        { name: `${name}.E`, shape: [initialRank, 1], initialize: constant(0), decays: true },
        { name: `${name}.B`, shape: [outFeatures, initialRank], initialize: normal(0.02), decays: true },
      ];
    });
    return {
      modules: adapted,
      parameters,
      trainable: namesOf(parameters),
      inputDropout: settings.adapterDropout,
      adapt(parameter, x, layer, { name }) {
        const down = gemm(x, mul(parameter(`${name}.A`), parameter(`${name}.E`)), { transB: true });
        return gemm(down, parameter(`${name}.B`), { transB: true, alpha: scale, addend: layer(x) });
      },
      penalty(parameter) {
        const distances = adapted.flatMap(({ name }) => [
          distanceToIdentity(parameter(`${name}.A`), { transB: true }),
          distanceToIdentity(parameter(`${name}.B`), { transA: true }),
        ]);
        const total = distances.reduce((sum, distance) => add(sum, distance));
        return mul(total, settings.orthogonality / distances.length);
      },
      asLora: ({ name }, values) =>
        openGates(values.get(`${name}.A`)!, values.get(`${name}.E`)!, values.get(`${name}.B`)!, scale),
    };
  },

  schedule(settings, { modules, trainable }, run, state) {
    const allocator = new RankAllocator(
      {
        modules,
        initialRank: initialRankOf(settings),
        targetRank: settings.rank,
        totalSteps: run.totalSteps,
        initialSteps: resolveDuration(settings.pruneInitial, run) ?? Math.floor(run.totalSteps / 10),
        finalSteps: resolveDuration(settings.pruneFinal, run) ?? Math.floor(run.totalSteps / 2),
        interval: settings.pruneInterval,
        beta1: settings.beta1,
        beta2: settings.beta2,
      },
      state,
    );
    return {
      trainable: () => trainable,
      afterStep: (step, gradients, values) => allocator.afterStep(step, gradients, values),
      countTrainable: () => allocator.countKept(),
      state: () => allocator.state(),
    };
  },

  peft: {
    write(settings, layers, values) {
      const initialRank = initialRankOf(settings);
      const rankPattern: Record<string, boolean[]> = {};
      const tensors = new Map<string, Tensor<"float32">>();
      for (const { module, moduleName } of layers) {
        const [A, E, B] = ["A", "E", "B"].map((part) => values.get(`${module.name}.${part}`)!);
        // PEFT has no layers of rank 0: a direction whose entry is 0 adds nothing.
        const kept = openIndices(E!);
        rankPattern[`${moduleName}.lora_E`] = indices(initialRank).map((place) => kept.includes(place));
        tensors.set(`${moduleName}.lora_A`, takeRows(A!, kept));
        tensors.set(`${moduleName}.lora_E`, takeRows(E!, kept));
        tensors.set(`${moduleName}.lora_B`, takeColumns(B!, kept));
      }
      const config = {
        peft_type: "ADALORA",
        init_r: initialRank,
        target_r: settings.rank,
        lora_alpha: settings.alpha,
        lora_dropout: settings.adapterDropout ?? 0,
        rank_pattern: rankPattern,
        // The ranks are final: this is a schedule without steps, in the only form that PEFT accepts.
        tinit: 0,
        tfinal: 0,
        total_step: 1,
      };
      return { config, layers: tensors };
    },

    read: peftReading({
      type: "ADALORA",
      config: z.looseObject({
        init_r: z.int().positive(),
        target_r: z.int().positive(),
        lora_alpha: z.number().positive(),
        rank_pattern: z.record(z.string(), z.array(z.boolean())).nullish(),
      }),
      parts: () => ["lora_A", "lora_E", "lora_B"],
      read({ init_r: initialRank, target_r, lora_alpha: alpha, rank_pattern }, { layers }) {
        const parameters = new Map<string, Tensor<"float32">>();
        for (const { module, moduleName, tensor } of layers) {
          const { name, inFeatures, outFeatures } = module;
          const pattern = Object.entries(rank_pattern ?? {}).find(([key]) =>
            `.${moduleName}.lora_E`.endsWith(`.${key}`),
          );
          const kept = indices(initialRank).filter((i) => pattern?.[1][i] ?? true);
          parameters.set(`${name}.A`, spreadRows(tensor("lora_A", [kept.length, inFeatures]), kept, initialRank));
          parameters.set(`${name}.E`, spreadRows(tensor("lora_E", [kept.length, 1]), kept, initialRank));
          parameters.set(`${name}.B`, spreadColumns(tensor("lora_B", [outFeatures, kept.length]), kept, initialRank));
        }
        return { options: { rank: Math.min(target_r, initialRank - 1), initialRank, alpha }, parameters };
      },
    }),
  },
};

/** Frobenius norm (not squared) of the difference between a matrix times its transpose and the identity. */
function distanceToIdentity(matrix: Value, product: { transA: true } | { transB: true }): Value {
  const rank = matrix.shape["transA" in product ? 1 : 0] as number;
  const minusIdentity = Array.from({ length: rank * rank }, (_, i) => (i % (rank + 1) === 0 ? -1 : 0));
  const addend = matrix.graph.constant(minusIdentity, matrix.dtype, [rank, rank]);
  const difference = gemm(matrix, matrix, { ...product, addend });
  return sqrt(sumAll(mul(difference, difference)));
}
