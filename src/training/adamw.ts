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

/** An optimizer between two steps: `scalars` is plain JSON, `arrays` can go into a safetensors file. */
export interface AdamWState {
  scalars: { steps: Record<string, number> };
  arrays: Map<string, Float32Array>;
}

/** What is kept for one parameter, `[size]` each. */
interface Moments {
  /** Steps taken so far. */
  steps: number;
  first: Float32Array;
  second: Float32Array;
}

/**
 * AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) with betas 0.9 and 0.999 and epsilon 1e-8: weight decay apart
 * from the gradient, bias correction, and epsilon outside the corrected root, all as PyTorch's `torch.optim.AdamW`.
 */
export class AdamW {
  readonly #settings = new Map<string, ParameterGroup>();
  readonly #moments = new Map<string, Moments>();

  /** @param state what {@link state} gave, to go on from there; its arrays are copied */
  constructor(groups: readonly ParameterGroup[], state?: AdamWState) {
    for (const group of groups) for (const name of group.names) this.#settings.set(name, group);
    for (const [name, steps] of Object.entries(state?.scalars.steps ?? {})) {
      const [first, second] = ["first", "second"].map((moment) =>
        state?.arrays.get(`${name}.${moment}Moment`)?.slice(),
      );
      if (!first || !second) throw new Error(`The optimizer state lacks the moments of "${name}"`);
      this.#moments.set(name, { steps, first, second });
    }
  }

  /**
   * One step, in place, of the parameters that have a gradient; the others stay as they are, without decay.
   * @param parameters `[size]` each
   * @param gradients likewise, clipped
   * @param learningRateFactor on every group's peak learning rate
   */
  step(
    parameters: ReadonlyMap<string, Float32Array>,
    gradients: ReadonlyMap<string, Float32Array>,
    learningRateFactor: number,
  ): void {
    for (const [name, gradient] of gradients) {
      const parameter = parameters.get(name);
      const settings = this.#settings.get(name);
      if (!settings || parameter?.length !== gradient.length) {
        throw new Error(`The gradient "${name}" has no parameter of its size in a group of the optimizer`);
      }
      const moments = this.#moments.get(name) ?? {
        steps: 0,
        first: new Float32Array(gradient.length),
        second: new Float32Array(gradient.length),
      };
      this.#moments.set(name, moments);
      moments.steps++;
      update(parameter, gradient, moments, settings.learningRate * learningRateFactor, settings.weightDecay);
    }
  }

  /** Forgets parameters that are frozen from now on. */
  drop(names: Iterable<string>): void {
    for (const name of names) this.#moments.delete(name);
  }

  /** What to save between two steps. The arrays are the live ones: write or copy them before the next step. */
  state(): AdamWState {
    const state: AdamWState = { scalars: { steps: {} }, arrays: new Map() };
    for (const [name, { steps, first, second }] of this.#moments) {
      state.scalars.steps[name] = steps;
      state.arrays.set(`${name}.firstMoment`, first).set(`${name}.secondMoment`, second);
    }
    return state;
  }
}

function update(
  parameter: Float32Array,
  gradient: Float32Array,
  { steps, first, second }: Moments,
  learningRate: number,
  weightDecay: number,
): void {
  const decay = 1 - learningRate * weightDecay;
  const stepSize = learningRate / (1 - BETA1 ** steps);
  const rootScale = 1 / Math.sqrt(1 - BETA2 ** steps);
  for (let i = 0; i < parameter.length; i++) {
    const g = gradient[i]!;
    const m = BETA1 * first[i]! + (1 - BETA1) * g;
    const v = BETA2 * second[i]! + (1 - BETA2) * g * g;
    first[i] = m;
    second[i] = v;
    parameter[i] = decay * parameter[i]! - (stepSize * m) / (Math.sqrt(v) * rootScale + EPSILON);
  }
}
