import type { LinearModule } from "../architectures/model-parts.ts";
import { UserError } from "../errors.ts";
import { float32, type Tensor, type Tensors } from "../graph/tensor.ts";
import { elementScores, type Importance, instantImportance, kthSmallest, updateAverages } from "./freezing/score.ts";
import type { MethodState } from "./method.ts";

export interface AllocatorConfig {
  modules: readonly LinearModule[];
  initialRank: number;
  /** Mean rank of the layers. */
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
 * Decides which singular values to keep, like PEFT: after each optimizer step, the sensitivity `|w · g|` of the new weights and the
 * step's gradients updates its average and uncertainty. A singular value's importance is the product of both, plus the means of the
 * same product over its row of Q and its column of P. From tinit to T - tfinal the budget falls along a cubic curve, and every ΔT
 * steps the least important entries of Λ beyond the budget are set to 0. Those of the last pruning, at T - tfinal, stay 0.
 */
export class RankAllocator {
  readonly #config: AllocatorConfig;
  /** Importance of every parameter; empty once the ranks are final. */
  readonly #importance = new Map<string, Importance>();
  /** By layer: 1 if the latest pruning kept the singular value, 0 otherwise, `[initialRank]`. */
  readonly #kept = new Map<string, Float32Array>();

  constructor(config: AllocatorConfig, state?: MethodState) {
    const { totalSteps, initialSteps, finalSteps } = config;
    if (finalSteps < 1 || initialSteps + finalSteps >= totalSteps) {
      throw new UserError(
        `AdaLoRA: nothing can be pruned in ${totalSteps === 1 ? "1 step" : `${totalSteps} steps`} with pruneInitial ${initialSteps} and pruneFinal ` +
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
    const isFinal = step >= last;
    if (!isFinal) this.#observe(gradients, values);
    if (!isFinal && (step <= initialSteps || step % interval !== 0)) return;
    if (step <= last) this.#prune(step);
    if (isFinal) this.#importance.clear();
    this.#zeroPruned(values);
  }

  /** Number of parameters of the singular values that the latest pruning kept. */
  countKept(): number {
    return this.#config.modules.reduce((total, { name, inFeatures, outFeatures }) => {
      const kept = this.#kept.get(name)?.filter((keeps) => keeps === 1).length ?? this.#config.initialRank;
      return total + kept * (inFeatures + outFeatures + 1);
    }, 0);
  }

  /** State to save between two steps. Tensors are not copied. */
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
    const { modules, beta1, beta2 } = this.#config;
    for (const name of modules.flatMap((module) => [`${module.name}.A`, `${module.name}.E`, `${module.name}.B`])) {
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

  /** Keeps the most important singular values across all layers. Values tied with the threshold are pruned. */
  #prune(step: number): void {
    const { modules, initialRank } = this.#config;
    const scores = new Float32Array(modules.length * initialRank);
    for (const [i, module] of modules.entries()) scores.set(this.#importances(module), i * initialRank);
    const excess = scores.length - this.#budget(step);
    const threshold = excess > 0 ? kthSmallest(() => [scores], excess) : Number.NEGATIVE_INFINITY;
    modules.forEach(({ name }, i) => {
      const own = scores.subarray(i * initialRank, (i + 1) * initialRank);
      this.#kept.set(
        name,
        Float32Array.from(own, (score) => Number(score > threshold)),
      );
    });
  }

  /** Total number of singular values that all layers may have after `step`. */
  #budget(step: number): number {
    const { modules, initialRank, targetRank, totalSteps, initialSteps, finalSteps } = this.#config;
    const left = 1 - (step - initialSteps) / (totalSteps - finalSteps - initialSteps);
    const target = targetRank * modules.length;
    return Math.trunc((initialRank * modules.length - target) * (left * left * left) + target);
  }

  /** Importance of a layer's singular values, `[initialRank]`. */
  #importances({ name, inFeatures, outFeatures }: LinearModule): Float32Array {
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
