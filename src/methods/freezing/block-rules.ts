import { UserError } from "../../errors.ts";
import { float32, type Tensors } from "../../graph/tensor.ts";

/** Rules that decide when blocks freeze, starting at the input (docs/blocks.md). */
export const BLOCK_RULES = ["linear", "autofreeze"] as const;
export type BlockRuleName = (typeof BLOCK_RULES)[number];

/** Parameters of a block that train until it freezes. */
export interface FreezableBlock {
  /** Parameters whose gradients measure the block's change. */
  parameters: readonly { name: string; size: number }[];
  /** Names of parameters that another schedule freezes; the block freezes only after all of them. */
  awaits: readonly string[];
}

/** Schedule for blocks, in optimizer steps counted from 0. */
export interface BlockSchedule {
  rule: BlockRuleName;
  /** T: optimizer steps of the whole run. */
  totalSteps: number;
  /** Steps between two checks. */
  interval: number;
  /** No block freezes before this step. */
  earliestStep: number;
  /** Upper limit on the number of frozen blocks. */
  most: number;
  /** `autofreeze`: quantile of the changes of the gradients of all blocks that still train. A block below it freezes. */
  threshold: number;
  blocks: readonly FreezableBlock[];
}

/** State of a rule between two steps. */
export interface BlockRuleState {
  /** Norm of each block in the previous interval, null before the end of the first; empty if the rule measures nothing. */
  values: (number | null)[];
  tensors: Tensors<"float32">;
}

/** Result of a rule at a check. */
export interface BlockVerdict {
  /** Score of every block; null if it was not measured. */
  scores: (number | null)[];
  /** Score below which a block may freeze. */
  threshold: number | null;
  isDone(block: number): boolean;
}

/** Decides from gradients which blocks may freeze. Blocks are numbered from 0. */
export interface BlockRule {
  /** @param active numbers of the blocks that have not frozen, including those that never may */
  observe?(step: number, active: readonly number[], gradients: Tensors<"float32">): void;
  check(step: number, active: readonly number[]): BlockVerdict;
  /** Drops the state of a block. */
  drop?(block: number): void;
  state?(): BlockRuleState;
}

/** @throws UserError if the state belongs to another schedule */
export function blockRule(schedule: BlockSchedule, state?: BlockRuleState): BlockRule {
  switch (schedule.rule) {
    case "linear":
      return linearRule(schedule);
    case "autofreeze":
      return new AutoFreezeRule(schedule, state);
  }
}

/** Freezes blocks one after the other, evenly from the earliest step to the last. */
function linearRule(schedule: BlockSchedule): BlockRule {
  return {
    check: (step) => ({
      scores: schedule.blocks.map(() => null),
      threshold: null,
      isDone: (block) => step >= dueStep(block, schedule),
    }),
  };
}

function dueStep(block: number, { earliestStep, most, totalSteps }: BlockSchedule): number {
  return earliestStep + Math.floor((block * (totalSteps - earliestStep)) / most);
}

/**
 * Share of the work of all blocks over a run that remains if blocks freeze evenly over time; undefined for other rules, for which
 * it is unknown in advance.
 */
export function workLeft(schedule: BlockSchedule): number | undefined {
  const { rule, blocks, most, totalSteps } = schedule;
  if (rule !== "linear") return undefined;
  const saved = Array.from({ length: most }, (_, block) => 1 - dueStep(block, schedule) / totalSteps);
  return 1 - saved.reduce((sum, each) => sum + each, 0) / blocks.length;
}

/**
 * AutoFreeze (Liu et al. 2021, arXiv 2102.01386, and its released code): the gradients of an interval are summed, and a block's
 * change is `|n' - n| / n'` of the sum's L1 norm, n, and that of the previous interval, n'. Blocks below a quantile of the changes,
 * the median in the paper, freeze.
 */
class AutoFreezeRule implements BlockRule {
  readonly #schedule: BlockSchedule;
  readonly #sums: Map<string, Float32Array>[];
  /** Norms of the previous interval; null before the end of the first. */
  #norms: (number | null)[];

  constructor(schedule: BlockSchedule, state?: BlockRuleState) {
    const { blocks } = schedule;
    this.#schedule = schedule;
    this.#norms = blocks.map((_, block) => state?.values[block] ?? null);
    this.#sums = blocks.map(
      ({ parameters }) => new Map(parameters.map(({ name, size }) => [name, restoreSum(state, `${name}.sum`, size)])),
    );
  }

  observe(step: number, active: readonly number[], gradients: Tensors<"float32">): void {
    // Checks are at multiples of the interval, so an interval begins after one.
    if (step === 0) return;
    for (const block of active) {
      for (const [name, total] of this.#sums[block]!) {
        const gradient = gradientOf(name, gradients);
        for (let i = 0; i < total.length; i++) total[i]! += gradient[i]!;
      }
    }
  }

  check(_step: number, active: readonly number[]): BlockVerdict {
    const changes: (number | null)[] = this.#schedule.blocks.map(() => null);
    const norms = [...this.#norms];
    for (const block of active) {
      const before = this.#norms[block];
      norms[block] = this.#endInterval(block);
      if (before != null) changes[block] = before === 0 ? 0 : Math.abs(before - norms[block]) / before;
    }
    this.#norms = norms;
    const known = active.flatMap((block) => changes[block] ?? []);
    const threshold = known.length === active.length ? quantile(known, this.#schedule.threshold) : null;
    return {
      scores: changes,
      threshold,
      isDone: (block) => threshold !== null && changes[block]! < threshold,
    };
  }

  drop(block: number): void {
    this.#sums[block]!.clear();
  }

  state(): BlockRuleState {
    const tensors = this.#sums.flatMap((each) => [...each].map(([name, values]) => [`${name}.sum`, values] as const));
    return {
      values: [...this.#norms],
      tensors: new Map(tensors.map(([name, values]) => [name, float32([values.length], values)])),
    };
  }

  /** Returns the L1 norm of a block's summed gradients and resets the sums. */
  #endInterval(block: number): number {
    let norm = 0;
    for (const total of this.#sums[block]!.values()) {
      for (const value of total) norm += Math.abs(value);
      total.fill(0);
    }
    return norm;
  }
}

/** Quantile of values with linear interpolation, as in NumPy's `percentile`. */
function quantile(values: readonly number[], share: number): number | null {
  if (values.length === 0) return null;
  const sorted = values.toSorted((a, b) => a - b);
  const place = share * (sorted.length - 1);
  const below = sorted[Math.floor(place)]!;
  return below + (place % 1) * (sorted[Math.ceil(place)]! - below);
}

/** Zeros, or a copy of the state's values. @throws UserError if their number differs */
function restoreSum(state: BlockRuleState | undefined, name: string, size: number): Float32Array {
  // The values of a frozen block were dropped.
  const saved = state?.tensors.get(name)?.data;
  if (!saved) return new Float32Array(size);
  if (saved.length === size) return saved.slice();
  throw new UserError(
    `Block freezing state: "${name}" has ${saved.length} values, expected ${size}; continue with the configuration that the state was saved with`,
  );
}

function gradientOf(name: string, gradients: Tensors<"float32">): Float32Array {
  const gradient = gradients.get(name);
  if (!gradient) throw new Error(`block freezing: "${name}" has no gradient though its block has not frozen`);
  return gradient.data;
}
