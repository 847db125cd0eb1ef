import { UserError } from "../../errors.ts";
import { float32, type Tensor, type Tensors } from "../../graph/tensor.ts";
import type { BlockCheck } from "./block-controller.ts";
import { type FreezeSchedule, frozenFraction, isCheck, isFinal, validateSchedule } from "./schedule.ts";
import {
  accumulateImportance,
  elementScores,
  type FreezeScore,
  type Importance,
  instantImportance,
  isAveraged,
  kthSmallest,
  sum,
} from "./score.ts";

/**
 * Rule that selects the matrices to freeze at a check (docs/method.md): those whose mean score is below the r(t)-quantile of all
 * elements still trainable (the reference code), or those with the lowest scores until ⌊r(t)·N⌋ are frozen (the paper's text).
 */
export type FreezeRule = "element-quantile" | "matrix-fraction";

/** A projection matrix that the schedule may freeze. */
export interface FreezableMatrix {
  name: string;
  /** Number of elements. */
  size: number;
}

/** Settings of a freezing schedule. */
export interface FreezingConfig extends FreezeSchedule {
  matrices: readonly FreezableMatrix[];
  /** Decay of the average importance Ī; 0.85 in the paper. */
  beta1: number;
  /** Decay of the uncertainty Ū; 0.95 in the paper. */
  beta2: number;
  rule: FreezeRule;
  score: FreezeScore;
  /** Whether to average the importance over `interval` steps before each update of Ī and Ū, as in the reference code. */
  windowed: boolean;
}

/** Result of one check of the schedule. */
export interface FreezingCheck {
  step: number;
  /** r(t); 0 if the check was only of blocks. */
  fraction: number;
  /** Threshold of `element-quantile`; null if nothing was compared. */
  threshold: number | null;
  /** Score of every matrix; for a frozen one, the score at which it froze. */
  scores: Record<string, number>;
  /** Names of the matrices that froze, in the order of `matrices`. */
  frozen: string[];
  /** Check of whole blocks, if a schedule freezes them. */
  blocks?: BlockCheck;
}

/** State of a controller between two steps: `scalars` is plain JSON, `tensors` can go into a safetensors file. */
export interface FreezingState {
  scalars: { frozenAtStep: Record<string, number>; scores: Record<string, number> };
  tensors: Tensors<"float32">;
}

/**
 * Decides which projection matrices freeze, and when (docs/method.md). A frozen matrix stays frozen and its state is dropped. Once
 * all matrices are frozen, a step costs nothing.
 */
export class FreezingController {
  /** The latest check since construction; its `step` shows whether it was at this step. */
  lastCheck: FreezingCheck | undefined;

  readonly #config: FreezingConfig;
  readonly #frozenAtStep = new Map<string, number>();
  readonly #scores: Record<string, number> = {};
  /** Importance of the matrices still trainable; empty if the score is not averaged. */
  readonly #importance = new Map<string, Importance>();
  #trainable: FreezableMatrix[] = [];
  /** Buffer for the elements of any single matrix. */
  readonly #scratch: Float32Array<ArrayBuffer>;

  /**
   * @param state from {@link FreezingController.state | state()}, to resume from with the same configuration; its tensors are copied
   * @throws UserError if the configuration contradicts itself or the state does not fit it
   */
  constructor(config: FreezingConfig, state?: FreezingState) {
    validate(config);
    this.#config = config;
    this.#scratch = new Float32Array(Math.max(0, ...config.matrices.map(({ size }) => size)));
    if (state) {
      Object.assign(this.#scores, state.scalars.scores);
      for (const [name, step] of Object.entries(state.scalars.frozenAtStep)) this.#frozenAtStep.set(name, step);
    }

    this.#trainable = config.matrices.filter(({ name }) => !this.#frozenAtStep.has(name));
    if (!isAveraged(config.score)) return;
    for (const matrix of this.#trainable) {
      this.#importance.set(matrix.name, startImportance(matrix, config, state));
    }
  }

  /** Matrices frozen so far, each with the step of the check that froze it. It is frozen from the next step on. */
  get frozenAtStep(): ReadonlyMap<string, number> {
    return this.#frozenAtStep;
  }

  /** Names of the matrices frozen so far. */
  get frozen(): ReadonlySet<string> {
    return new Set(this.#frozenAtStep.keys());
  }

  /**
   * Observes one optimizer step. Matrices that freeze at it are frozen from the next step on: they still get this step's
   * update.
   * @param step from 0; every step must be observed, in order
   * @param gradients of the whole batch, not clipped, for every matrix still trainable
   * @param weights of the same matrices; needed for the scores `sensitivity` and `magnitude`
   * @returns names of the matrices that freeze at this step, in the order of `matrices`
   * @throws UserError if a matrix is missing or has another size
   */
  observe(step: number, gradients: Tensors<"float32">, weights?: Tensors<"float32">): string[] {
    if (this.#trainable.length === 0) return [];
    for (const matrix of this.#trainable) this.#accumulate(step, matrix, gradients, weights);
    return isCheck(step, this.#config) ? this.#check(step, weights) : [];
  }

  /** State to save between two steps. Tensors are not copied: write or copy them before the next step. */
  state(): FreezingState {
    const tensors = new Map<string, Tensor<"float32">>();
    for (const [name, importance] of this.#importance) {
      for (const [part, values] of Object.entries(importance)) {
        tensors.set(`${name}.${part}`, float32([values.length], values));
      }
    }
    return { scalars: { frozenAtStep: Object.fromEntries(this.#frozenAtStep), scores: { ...this.#scores } }, tensors };
  }

  #accumulate(
    step: number,
    matrix: FreezableMatrix,
    gradients: Tensors<"float32">,
    weights?: Tensors<"float32">,
  ): void {
    const { score } = this.#config;
    const importance = this.#importance.get(matrix.name);
    if (!importance) return;
    const now = this.#scratch.subarray(0, matrix.size);
    const weight = score === "sensitivity" ? valuesOf(matrix, weights, "weight") : undefined;
    instantImportance(now, valuesOf(matrix, gradients, "gradient"), weight);

    accumulateImportance(importance, now, step, this.#config);
  }

  #check(step: number, weights?: Tensors<"float32">): string[] {
    const scored = this.#trainable.map((matrix) => ({ ...matrix, score: this.#score(matrix, weights) }));
    for (const { name, score } of scored) this.#scores[name] = score;

    const fraction = frozenFraction(step, this.#config);
    const { freezing, threshold } = isFinal(step, this.#config)
      ? { freezing: scored, threshold: null }
      : this.#select(scored, fraction, weights);
    const names = new Set(freezing.map(({ name }) => name));
    for (const name of names) {
      this.#frozenAtStep.set(name, step);
      this.#importance.delete(name);
    }
    this.#trainable = this.#trainable.filter(({ name }) => !names.has(name));

    const frozen = this.#config.matrices.map(({ name }) => name).filter((name) => names.has(name));
    this.lastCheck = { step, fraction, threshold, scores: { ...this.#scores }, frozen };
    return frozen;
  }

  /** Applies the freezing rule to the matrices still trainable. */
  #select<Scored extends FreezableMatrix & { score: number }>(
    matrices: Scored[],
    fraction: number,
    weights?: Tensors<"float32">,
  ): { freezing: Scored[]; threshold: number | null } {
    if (this.#config.rule === "matrix-fraction") {
      const missing = Math.floor(fraction * this.#config.matrices.length) - this.#frozenAtStep.size;
      const freezing = matrices.toSorted((a, b) => a.score - b.score).slice(0, Math.max(0, missing));
      return { freezing, threshold: null };
    }
    const elements = matrices.reduce((total, { size }) => total + size, 0);
    const k = Math.floor(elements * fraction);
    if (k === 0) return { freezing: [], threshold: null };
    const threshold = kthSmallest(() => this.#elements(matrices, weights), k);
    return { freezing: matrices.filter(({ score }) => score < threshold), threshold };
  }

  /** Mean score of the matrix's elements, rounded to float32 so that it is comparable with an element's score. */
  #score(matrix: FreezableMatrix, weights?: Tensors<"float32">): number {
    return Math.fround(sum(this.#elementsOf(matrix, weights)) / matrix.size);
  }

  /** Yields the scores of all elements of each matrix. The next array overwrites the previous one. */
  *#elements(matrices: readonly FreezableMatrix[], weights?: Tensors<"float32">): Generator<Float32Array> {
    for (const matrix of matrices) yield this.#elementsOf(matrix, weights);
  }

  /** Scores of a matrix's elements, in a buffer that the next call overwrites. */
  #elementsOf(matrix: FreezableMatrix, weights?: Tensors<"float32">): Float32Array {
    const { name, size } = matrix;
    const elements = this.#scratch.subarray(0, size);
    const importance = this.#importance.get(name);
    if (importance) elementScores(elements, importance);
    else if (this.#config.score === "depth")
      elements.fill(this.#config.matrices.findIndex((each) => each.name === name));
    else instantImportance(elements, valuesOf(matrix, weights, "weight"));
    return elements;
  }
}

/** Zeros, or a copy of the matrix's values in `state`. */
function startImportance(matrix: FreezableMatrix, { windowed }: FreezingConfig, state?: FreezingState): Importance {
  const start = (part: keyof Importance) => {
    if (!state) return new Float32Array(matrix.size);
    const saved = state.tensors.get(`${matrix.name}.${part}`)?.data;
    if (saved?.length !== matrix.size) {
      throw new UserError(
        `Freezing state: "${matrix.name}.${part}" has ${saved?.length ?? "no"} values, expected ${matrix.size}; ` +
          "continue with the configuration that the state was saved with",
      );
    }
    return saved.slice();
  };
  const averages = { average: start("average"), uncertainty: start("uncertainty") };
  return windowed ? { ...averages, window: start("window") } : averages;
}

function valuesOf(
  { name, size }: FreezableMatrix,
  values: Tensors<"float32"> | undefined,
  what: "gradient" | "weight",
): Float32Array {
  const found = values?.get(name)?.data;
  if (found?.length === size) return found;
  throw new UserError(
    `Freezing: the ${what} of "${name}" has ${found?.length ?? "no"} values, expected ${size}; ` +
      `pass the ${what}s of all matrices that are not frozen`,
  );
}

function validate(config: FreezingConfig): void {
  validateSchedule(config);
  for (const name of ["beta1", "beta2"] as const) {
    if (!(config[name] >= 0 && config[name] < 1)) {
      throw new UserError(`Freezing: ${name} is ${config[name]}; give a number from 0 up to, but not including, 1`);
    }
  }
  const names = new Set<string>();
  for (const { name, size } of config.matrices) {
    if (names.has(name)) throw new UserError(`Freezing: the matrix "${name}" is given twice; give each once`);
    if (!(Number.isInteger(size) && size > 0)) {
      throw new UserError(`Freezing: the matrix "${name}" has size ${size}; give its number of elements`);
    }
    names.add(name);
  }
}
