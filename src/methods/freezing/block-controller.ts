import { UserError } from "../../errors.ts";
import type { Tensors } from "../../graph/tensor.ts";
import { type BlockRule, type BlockRuleState, type BlockSchedule, blockRule } from "./block-rules.ts";

/** Result of one check of the blocks. */
export interface BlockCheck {
  /** Number of frozen blocks after it, starting at the input. */
  boundary: number;
  /** Number of blocks that froze at this check. */
  frozenBlocks: number;
  /** Score below which a block freezes; null if there is none. */
  threshold: number | null;
  /** Change of every block's gradients since the previous interval (`autofreeze`); null if it was not computed. */
  scores: (number | null)[];
}

/** State of a controller between two steps: `scalars` is plain JSON, `tensors` can go into a safetensors file. */
export interface BlockControllerState {
  scalars: { boundary: number; values: BlockRuleState["values"] };
  tensors: Tensors<"float32">;
}

/**
 * Decides which blocks of a model are frozen, starting at the input: block k freezes only after block k-1
 * (docs/blocks.md). A frozen block stays frozen.
 */
export class BlockController {
  readonly #schedule: BlockSchedule;
  readonly #rule: BlockRule;
  #boundary: number;

  /**
   * @param state from {@link BlockController.state | state()}, to resume from with the same schedule; its tensors are copied
   * @throws UserError if the schedule contradicts itself or the state does not fit it
   */
  constructor(schedule: BlockSchedule, state?: BlockControllerState) {
    validate(schedule);
    this.#schedule = schedule;
    this.#rule = blockRule(schedule, state && { values: state.scalars.values, tensors: state.tensors });
    this.#boundary = state?.scalars.boundary ?? 0;
    for (let block = 0; block < this.#boundary; block++) this.#rule.drop?.(block);
  }

  /** Number of frozen blocks. */
  get boundary(): number {
    return this.#boundary;
  }

  /**
   * Observes one optimizer step. Blocks that freeze at it are frozen from the next step on: their parameters still get this update.
   * @param step from 0; every step must be observed, in order
   * @param gradients of the whole batch, not clipped, for every parameter of a block that has not frozen
   * @param isFrozen whether a parameter that another schedule freezes is frozen after this step
   * @returns the check, or undefined if none was due
   */
  observe(
    step: number,
    gradients: Tensors<"float32">,
    isFrozen: (name: string) => boolean = () => true,
  ): BlockCheck | undefined {
    const { blocks, most, interval, earliestStep } = this.#schedule;
    const before = this.#boundary;
    if (before >= most) return undefined;
    const active = Array.from({ length: blocks.length - before }, (_, i) => before + i);
    this.#rule.observe?.(step, active, gradients);
    if (step === 0 || step % interval !== 0) return undefined;

    const { scores, threshold, isDone } = this.#rule.check(step, active);
    for (const block of step < earliestStep ? [] : active.slice(0, most - before)) {
      if (!isDone(block) || !blocks[block]!.awaits.every(isFrozen)) break;
      this.#boundary++;
      this.#rule.drop?.(block);
    }
    return { boundary: this.#boundary, frozenBlocks: this.#boundary - before, threshold, scores };
  }

  /** State to save between two steps. Tensors are not copied: write or copy them before the next step. */
  state(): BlockControllerState {
    const { values, tensors } = this.#rule.state?.() ?? { values: [], tensors: new Map() };
    return { scalars: { boundary: this.#boundary, values }, tensors };
  }
}

function validate({ totalSteps, interval, earliestStep, most, threshold, blocks }: BlockSchedule): void {
  const wholes = { totalSteps: [totalSteps, 1], interval: [interval, 1], earliestStep: [earliestStep, 0] } as const;
  for (const [name, [value, least]] of Object.entries(wholes)) {
    if (!Number.isInteger(value) || value < least) {
      throw new UserError(`Block freezing: ${name} is ${value}; give a whole number of steps, at least ${least}`);
    }
  }
  if (!Number.isInteger(most) || most < 1 || most > blocks.length) {
    throw new UserError(
      `Block freezing: ${most} blocks may freeze, but there are ${blocks.length}; give 1 or more of them`,
    );
  }
  if (!(threshold >= 0 && threshold <= 1)) {
    throw new UserError(`Block freezing: the threshold is ${threshold}; give a number from 0 to 1`);
  }
}
