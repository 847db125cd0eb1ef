import { copyOf, float32, type Tensor, type Tensors } from "../../graph/tensor.ts";

const BETA1 = 0.9;
const BETA2 = 0.999;
const EPSILON = 1e-8;

/** Parameters that share their settings. */
export interface ParameterGroup {
  names: readonly string[];
  /** Peak learning rate. */
  learningRate: number;
  weightDecay: number;
}

/** State of an optimizer between two steps: `scalars` is plain JSON, `tensors` can go into a safetensors file. */
export interface AdamWState {
  scalars: { steps: Record<string, number> };
  tensors: Tensors<"float32">;
}

/** Moments of one parameter, in its shape. */
interface Moments {
  /** Steps taken so far. */
  steps: number;
  first: Tensor<"float32">;
  second: Tensor<"float32">;
}

/**
 * AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) with betas 0.9 and 0.999 and epsilon 1e-8: decoupled weight decay,
 * bias correction, and epsilon outside the corrected root, as in PyTorch's `torch.optim.AdamW`.
 */
export class AdamW {
  readonly #settings = new Map<string, ParameterGroup>();
  readonly #moments = new Map<string, Moments>();

  /** @param state from {@link state}, to resume from; its tensors are copied */
  constructor(groups: readonly ParameterGroup[], state?: AdamWState) {
    for (const group of groups) for (const name of group.names) this.#settings.set(name, group);
    for (const [name, steps] of Object.entries(state?.scalars.steps ?? {})) {
      const [first, second] = ["first", "second"].map((moment) => state?.tensors.get(`${name}.${moment}Moment`));
      if (!first || !second) throw new Error(`The optimizer state lacks the moments of "${name}"`);
      this.#moments.set(name, { steps, first: copyOf(first), second: copyOf(second) });
    }
  }

  /**
   * Takes one step, in place, for the parameters that have a gradient. The others do not change or decay.
   * @param learningRateFactor on every group's peak learning rate
   * @param clipping factor that clips the gradients: scaling them here saves full fine-tuning a pass over them
   * @returns name of a parameter that now has a value that is not finite, or undefined
   */
  step(
    parameters: Tensors<"float32">,
    gradients: Tensors<"float32">,
    learningRateFactor: number,
    clipping = 1,
  ): string | undefined {
    let notFinite: string | undefined;
    for (const [name, gradient] of gradients) {
      const parameter = parameters.get(name);
      const settings = this.#settings.get(name);
      if (!settings || parameter?.data.length !== gradient.data.length) {
        throw new Error(`The gradient "${name}" has no parameter of its size in a group of the optimizer`);
      }
      const moments = this.#moments.get(name) ?? {
        steps: 0,
        first: float32(parameter.shape),
        second: float32(parameter.shape),
      };
      this.#moments.set(name, moments);
      moments.steps++;
      const rates = { learningRate: settings.learningRate * learningRateFactor, weightDecay: settings.weightDecay };
      if (!update(parameter.data, gradient.data, moments, { ...rates, clipping })) notFinite ??= name;
    }
    return notFinite;
  }

  /** Drops the state of parameters that are frozen from now on. */
  drop(names: Iterable<string>): void {
    for (const name of names) this.#moments.delete(name);
  }

  /** State to save between two steps. Tensors are not copied: write or copy them before the next step. */
  state(): AdamWState {
    const counts: Record<string, number> = {};
    const tensors = new Map<string, Tensor<"float32">>();
    for (const [name, { steps, first, second }] of this.#moments) {
      counts[name] = steps;
      tensors.set(`${name}.firstMoment`, first).set(`${name}.secondMoment`, second);
    }
    return { scalars: { steps: counts }, tensors };
  }
}

/** Updates a parameter. @returns whether all its values are finite afterwards */
function update(
  parameter: Float32Array,
  gradient: Float32Array,
  { steps, first: { data: first }, second: { data: second } }: Moments,
  { learningRate, weightDecay, clipping }: { learningRate: number; weightDecay: number; clipping: number },
): boolean {
  // 0 if all values are finite, NaN otherwise. A value may overflow when it is rounded to float32.
  let differences = 0;
  const decay = 1 - learningRate * weightDecay;
  const stepSize = learningRate / (1 - BETA1 ** steps);
  const rootScale = 1 / Math.sqrt(1 - BETA2 ** steps);
  for (let i = 0; i < parameter.length; i++) {
    const g = gradient[i]! * clipping;
    const m = BETA1 * first[i]! + (1 - BETA1) * g;
    const v = BETA2 * second[i]! + (1 - BETA2) * g * g;
    first[i] = m;
    second[i] = v;
    const updated = Math.fround(decay * parameter[i]! - (stepSize * m) / (Math.sqrt(v) * rootScale + EPSILON));
    parameter[i] = updated;
    differences += updated - updated;
  }
  return differences === 0;
}
