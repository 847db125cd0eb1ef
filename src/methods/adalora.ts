import { z } from "zod";
import { UserError } from "../errors.ts";
import { elementScores, type Importance, instantImportance, kthSmallest, updateAverages } from "../freezing/score.ts";
import type { Value } from "../graph/graph.ts";
import { add, gemm, mul, sqrt, sumAll } from "../graph/ops.ts";
import { float32, type Tensor, type Tensors } from "../graph/tensor.ts";
import type { LinearSite } from "../models/architecture.ts";
import { constant, normal } from "./initializers.ts";
import type { MethodDefinition, MethodState } from "./method.ts";
import { alpha, checkRank, duration, resolveDuration, targetModules } from "./options.ts";
import { adaptOnly, selectSites } from "./target-modules.ts";

const options = z.object({
  rank: z.int().positive().default(8).describe("singular values of a layer that are left in the end, on average"),
  initialRank: z
    .int()
    .positive()
    .optional()
    .describe("singular values of a layer at the start; 1.5 × rank where absent"),
  alpha: alpha.describe("the adapter is scaled by alpha / initialRank"),
  targetModules,
  pruneInitial: duration.describe("tinit: nothing is pruned before; 10% where absent"),
  pruneFinal: duration.describe("tfinal: the ranks stay as they are during the last so many; 50% where absent"),
  pruneInterval: z.int().positive().default(10).describe("ΔT: steps between two prunings"),
  orthogonality: z.number().min(0).default(0.5).describe("weight in the loss of the mean of ‖PᵀP - I‖ and ‖QQᵀ - I‖"),
  beta1: z.number().min(0).lt(1).default(0.85).describe("decay of the average importance"),
  beta2: z.number().min(0).lt(1).default(0.85).describe("decay of its uncertainty"),
});

/**
 * AdaLoRA (Zhang et al. 2023, arXiv 2303.10512; spec section 6), as Hugging Face PEFT computes it:
 * `y = W0 x + α/(r + 1e-5) · P Λ Q x` with r the initial rank. Q is `A [r, in]`, Λ is `E [r, 1]`, P is `B [out, r]`,
 * named and shaped as PEFT's; P and Q start from N(0, 0.02²), Λ at 0. The loss gains a penalty that keeps P and Q near
 * orthogonal, and the least important entries of Λ are zeroed as a budget falls (see {@link RankAllocator}).
 * A zeroed entry still gets its gradient, so that it may come back until the budget is final. What counts as
 * trainable is what the latest pruning kept: an entry of Λ with its row of Q and column of P, as PEFT saves it.
 */
export const adalora: MethodDefinition<typeof options> = {
  name: "adalora",
  summary: "low-rank adaptation in the form of an SVD, its rank moved to where it matters",
  recipe: { learningRate: 8e-4, headLearningRate: 8e-4 },
  options,

  create(settings, { sites, totalSteps, stepsPerEpoch }, state) {
    const adapted = selectSites(sites, settings.targetModules);
    const initialRank = settings.initialRank ?? Math.round(1.5 * settings.rank);
    if (initialRank <= settings.rank) {
      throw new UserError(
        `AdaLoRA: nothing can be pruned from rank ${initialRank} to ${settings.rank}; give an initialRank above rank`,
      );
    }
    const parameters = adapted.flatMap((site) => {
      checkRank(initialRank, site, settings.initialRank === undefined ? "--rank" : "--initial-rank");
      const { name, inFeatures, outFeatures } = site;
      return [
        { name: `${name}.A`, shape: [initialRank, inFeatures], initialize: normal(0.02), decays: true },
        { name: `${name}.E`, shape: [initialRank, 1], initialize: constant(0), decays: true },
        { name: `${name}.B`, shape: [outFeatures, initialRank], initialize: normal(0.02), decays: true },
      ];
    });
    const names = new Set(parameters.map(({ name }) => name));
    const allocator = new RankAllocator(
      {
        sites: adapted,
        initialRank,
        targetRank: settings.rank,
        totalSteps,
        initialSteps: resolveDuration(settings.pruneInitial, totalSteps, stepsPerEpoch) ?? Math.floor(totalSteps / 10),
        finalSteps: resolveDuration(settings.pruneFinal, totalSteps, stepsPerEpoch) ?? Math.floor(totalSteps / 2),
        interval: settings.pruneInterval,
        beta1: settings.beta1,
        beta2: settings.beta2,
      },
      state,
    );

    return {
      parameters,
      trainable: () => names,
      adapt: adaptOnly(adapted, (parameter, x, layer, { name }) => {
        const down = gemm(x, mul(parameter(`${name}.A`), parameter(`${name}.E`)), { transB: true });
        const scale = settings.alpha / (initialRank + 1e-5);
        return gemm(down, parameter(`${name}.B`), { transB: true, alpha: scale, addend: layer(x) });
      }),
      penalty(parameter) {
        const distances = adapted.flatMap(({ name }) => [
          distanceToIdentity(parameter(`${name}.A`), { transB: true }),
          distanceToIdentity(parameter(`${name}.B`), { transA: true }),
        ]);
        const total = distances.reduce((sum, distance) => add(sum, distance));
        return mul(total, settings.orthogonality / distances.length);
      },
      afterStep: (step, gradients, values) => allocator.afterStep(step, gradients, values),
      countTrainable: () => allocator.countKept(),
      state: () => allocator.state(),
    };
  },
};

/** Frobenius norm, not squared, of the matrix times its transpose less the identity. */
function distanceToIdentity(matrix: Value, product: { transA: true } | { transB: true }): Value {
  const rank = matrix.shape["transA" in product ? 1 : 0] as number;
  const minusIdentity = Array.from({ length: rank * rank }, (_, i) => (i % (rank + 1) === 0 ? -1 : 0));
  const addend = matrix.graph.constant(minusIdentity, matrix.dtype, [rank, rank]);
  const difference = gemm(matrix, matrix, { ...product, addend });
  return sqrt(sumAll(mul(difference, difference)));
}

interface AllocatorConfig {
  sites: readonly LinearSite[];
  initialRank: number;
  /** Average over the layers. */
  targetRank: number;
  totalSteps: number;
  /** tinit */
  initialSteps: number;
  /** tfinal */
  finalSteps: number;
  /** ΔT */
  interval: number;
  beta1: number;
  beta2: number;
}

/**
 * Decides which singular values stay, as PEFT does: after each optimizer step, with the new weights and the gradients
 * of the step, the sensitivity `|w · g|` goes into its average and uncertainty; a singular value's importance is the
 * product of both, plus the means of the same over its row of Q and column of P. From tinit to T - tfinal the budget
 * falls by a cubic, and every ΔT steps the least important entries of Λ beyond it become 0; those of the last pruning,
 * at T - tfinal, stay 0.
 */
class RankAllocator {
  readonly #config: AllocatorConfig;
  /** Of every parameter; empty once the ranks are final. */
  readonly #importance = new Map<string, Importance>();
  /** By layer, 1 where the latest pruning kept the singular value and 0 where not, `[initialRank]`. */
  readonly #kept = new Map<string, Float32Array>();

  constructor(config: AllocatorConfig, state?: MethodState) {
    const { totalSteps, initialSteps, finalSteps } = config;
    if (finalSteps < 1 || initialSteps + finalSteps >= totalSteps) {
      throw new UserError(
        `AdaLoRA: nothing can be pruned in ${totalSteps} steps with pruneInitial ${initialSteps} and pruneFinal ` +
          `${finalSteps}; pruneFinal must be at least 1 and both together less than all steps`,
      );
    }
    this.#config = config;
    for (const [name, { data }] of state?.tensors ?? []) {
      const [, owner, part] = /^(.*)\.(kept|average|uncertainty)$/.exec(name)!;
      if (part === "kept") this.#kept.set(owner!, data.slice());
      else this.#importance.set(owner!, { ...this.#importance.get(owner!)!, [part!]: data.slice() });
    }
  }

  afterStep(step: number, gradients: Tensors<"float32">, values: Tensors<"float32">): void {
    const { totalSteps, finalSteps, initialSteps, interval } = this.#config;
    const last = totalSteps - finalSteps;
    if (step < last) this.#observe(gradients, values);
    const prunes = step === last || (step > initialSteps && step < last && step % interval === 0);
    if (prunes) this.#prune(step);
    if (step >= last) this.#importance.clear();
    if (prunes || step > last) this.#zeroPruned(values);
  }

  /** Parameters of the singular values that the latest pruning kept. */
  countKept(): number {
    return this.#config.sites.reduce((total, { name, inFeatures, outFeatures }) => {
      const kept = this.#kept.get(name)?.filter((keeps) => keeps === 1).length ?? this.#config.initialRank;
      return total + kept * (inFeatures + outFeatures + 1);
    }, 0);
  }

  /** What to save between two steps. The tensors are the live ones. */
  state(): MethodState {
    const tensors = new Map<string, Tensor<"float32">>();
    const add = (name: string, values: Float32Array) => tensors.set(name, float32([values.length], values));
    for (const [name, kept] of this.#kept) add(`${name}.kept`, kept);
    for (const [name, { average, uncertainty }] of this.#importance) {
      add(`${name}.average`, average);
      add(`${name}.uncertainty`, uncertainty);
    }
    return { scalars: {}, tensors };
  }

  #observe(gradients: Tensors<"float32">, values: Tensors<"float32">): void {
    const { sites, beta1, beta2 } = this.#config;
    for (const name of sites.flatMap((site) => [`${site.name}.A`, `${site.name}.E`, `${site.name}.B`])) {
      const value = values.get(name)!.data;
      const sensitivity = new Float32Array(value.length);
      instantImportance(sensitivity, gradients.get(name)!.data, value);
      const importance = this.#importance.get(name) ?? {
        average: new Float32Array(value.length),
        uncertainty: new Float32Array(value.length),
      };
      this.#importance.set(name, importance);
      updateAverages(importance, sensitivity, beta1, beta2);
    }
  }

  /** Keeps the most important singular values of all layers together; ties with the last to go, go too. */
  #prune(step: number): void {
    const { sites, initialRank } = this.#config;
    const scores = new Float32Array(sites.length * initialRank);
    for (const [i, site] of sites.entries()) scores.set(this.#importances(site), i * initialRank);
    const excess = scores.length - this.#budget(step);
    const threshold = excess > 0 ? kthSmallest(() => [scores], excess) : Number.NEGATIVE_INFINITY;
    sites.forEach(({ name }, i) => {
      const own = scores.subarray(i * initialRank, (i + 1) * initialRank);
      this.#kept.set(
        name,
        Float32Array.from(own, (score) => Number(score > threshold)),
      );
    });
  }

  /** Singular values that all layers together may have after `step`. */
  #budget(step: number): number {
    const { sites, initialRank, targetRank, totalSteps, initialSteps, finalSteps } = this.#config;
    const left = 1 - (step - initialSteps) / (totalSteps - finalSteps - initialSteps);
    const target = targetRank * sites.length;
    return Math.trunc((initialRank * sites.length - target) * (left * left * left) + target);
  }

  /** Importance of a layer's singular values, `[initialRank]`. */
  #importances({ name, inFeatures, outFeatures }: LinearSite): Float32Array {
    const scoresOf = (parameter: string): Float32Array => {
      const importance = this.#importance.get(`${name}.${parameter}`)!;
      const scores = new Float32Array(importance.average.length);
      elementScores(scores, importance);
      return scores;
    };
    const [q, p, result] = [scoresOf("A"), scoresOf("B"), scoresOf("E")];
    const rank = result.length;
    for (let i = 0; i < rank; i++) {
      let row = 0;
      for (let j = 0; j < inFeatures; j++) row += q[i * inFeatures + j]!;
      let column = 0;
      for (let j = 0; j < outFeatures; j++) column += p[j * rank + i]!;
      result[i]! += row / inFeatures + column / outFeatures;
    }
    return result;
  }

  #zeroPruned(values: Tensors<"float32">): void {
    for (const [name, kept] of this.#kept) {
      const lambda = values.get(`${name}.E`)!.data;
      for (let i = 0; i < kept.length; i++) if (kept[i] === 0) lambda[i] = 0;
    }
  }
}
