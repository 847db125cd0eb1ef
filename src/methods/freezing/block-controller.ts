import { UserError } from "../../errors.ts";

/** Schedule for blocks, in optimizer steps counted from 0: they freeze one after the other, evenly from the earliest step to the last. */
export interface BlockSchedule {
  /** T: optimizer steps of the whole run. */
  totalSteps: number;
  /** Steps between two checks. */
  interval: number;
  /** No block freezes before this step. */
  earliestStep: number;
  /** Upper limit on the number of frozen blocks. */
  most: number;
  /** For each block, the names of the parameters that another schedule freezes; the block freezes only after all of them. */
  awaits: readonly (readonly string[])[];
}

/** Result of one check of the blocks. */
export interface BlockCheck {
  /** Number of frozen blocks after it, starting at the input. */
  boundary: number;
  /** Number of blocks that froze at this check. */
  frozenBlocks: number;
  /** Null: only records of earlier versions may have a score below which a block froze. */
  threshold: number | null;
  /** A null for every block: only records of earlier versions may have scores. */
  scores: (number | null)[];
}

/** The step from which on a block may freeze. */
function dueStep(block: number, { earliestStep, most, totalSteps }: BlockSchedule): number {
  return earliestStep + Math.floor((block * (totalSteps - earliestStep)) / most);
}

/** Share of the work of all blocks over a run that remains. */
export function workLeft(schedule: BlockSchedule): number {
  const { awaits, most, totalSteps } = schedule;
  const saved = Array.from({ length: most }, (_, block) => Math.max(0, 1 - dueStep(block, schedule) / totalSteps));
  return 1 - saved.reduce((sum, each) => sum + each, 0) / awaits.length;
}

/**
 * Decides which blocks of a model are frozen, starting at the input: block k freezes only after block k-1
 * (docs/blocks.md). A frozen block stays frozen.
 */
export class BlockController {
  readonly #schedule: BlockSchedule;
  #boundary: number;

  /**
   * @param boundary number of frozen blocks, to resume from with the same schedule
   * @throws UserError if the schedule contradicts itself
   */
  constructor(schedule: BlockSchedule, boundary = 0) {
    validate(schedule);
    this.#schedule = schedule;
    this.#boundary = boundary;
  }

  /** Number of frozen blocks. */
  get boundary(): number {
    return this.#boundary;
  }

  /**
   * Observes one optimizer step. Blocks that freeze at it are frozen from the next step on: their parameters still get this update.
   * @param step from 0 to T - 1; every step must be observed, in order
   * @param isFrozen whether a parameter that another schedule freezes is frozen after this step
   * @returns the check, or undefined if none was due
   */
  observe(step: number, isFrozen: (name: string) => boolean): BlockCheck | undefined {
    const { awaits, most, interval } = this.#schedule;
    const before = this.#boundary;
    if (before >= most || step === 0 || step % interval !== 0) return undefined;
    // The block after the last that may freeze would be due at T.
    while (step >= dueStep(this.#boundary, this.#schedule) && awaits[this.#boundary]!.every(isFrozen)) this.#boundary++;
    const scores = awaits.map(() => null);
    return { boundary: this.#boundary, frozenBlocks: this.#boundary - before, threshold: null, scores };
  }
}

function validate({ totalSteps, interval, earliestStep, most, awaits }: BlockSchedule): void {
  const wholes = { totalSteps: [totalSteps, 1], interval: [interval, 1], earliestStep: [earliestStep, 0] } as const;
  for (const [name, [value, least]] of Object.entries(wholes)) {
    if (!Number.isInteger(value) || value < least) {
      throw new UserError(`Block freezing: ${name} is ${value}; give a whole number of steps, at least ${least}`);
    }
  }
  if (!Number.isInteger(most) || most < 1 || most > awaits.length) {
    throw new UserError(
      `Block freezing: ${most} blocks may freeze, but there are ${awaits.length}; give 1 or more of them`,
    );
  }
}
