import { UserError } from "../../errors.ts";

/** Curve of r(t): the paper's (cubic), or that of the code which its authors released for GSM8K (quadratic). */
export type FreezeCurve = "cubic" | "quadratic";

/** Freezing schedule of projection matrices, in optimizer steps counted from 0 (arXiv 2403.13269; docs/method.md). */
export interface FreezeSchedule {
  /** ΔT: steps between two checks; also the averaging window of the windowed score. */
  interval: number;
  /** T: optimizer steps of the whole run. */
  totalSteps: number;
  /** ti: nothing freezes until after this step. */
  initialSteps: number;
  /** tf: everything is frozen in the last tf steps. */
  finalSteps: number;
  /** Curve of the fraction in between (default: cubic). */
  curve?: FreezeCurve;
}

/**
 * @throws UserError if a value is not an integer in its range, or ti + tf reaches T.
 */
export function validateSchedule({ interval, totalSteps, initialSteps, finalSteps }: FreezeSchedule): void {
  const atLeast = { interval: 1, totalSteps: 1, initialSteps: 0, finalSteps: 0 };
  for (const [name, value] of Object.entries({ interval, totalSteps, initialSteps, finalSteps })) {
    const least = atLeast[name as keyof typeof atLeast];
    if (!Number.isInteger(value) || value < least) {
      throw new UserError(`Freezing schedule: ${name} is ${value}; give a whole number of steps, at least ${least}`);
    }
  }
  if (initialSteps + finalSteps >= totalSteps) {
    throw new UserError(
      `Freezing schedule: initialSteps (${initialSteps}) + finalSteps (${finalSteps}) must be less than totalSteps ` +
        `(${totalSteps}); give fewer initial or final steps, or train longer`,
    );
  }
}

/** r(t): the fraction of projection matrices that should be frozen after step `step` (docs/method.md, "The schedule"). */
export function frozenFraction(step: number, schedule: FreezeSchedule): number {
  const { totalSteps, initialSteps, finalSteps, curve } = schedule;
  if (step <= initialSteps) return 0;
  if (isFinal(step, schedule)) return 1;
  const done = (step - initialSteps) / (totalSteps - initialSteps - finalSteps);
  if (curve === "quadratic") return done * done;
  const left = 1 - done;
  // The last bit of `**` differs between JavaScript engines; that of products does not.
  return 1 - left * left * left;
}

/** Mean of 1 - r(t) over a run. @param initial ti / T @param final tf / T */
export const meanLeft = (initial: number, final: number, curve: FreezeCurve): number =>
  initial + (1 - initial - final) * (curve === "quadratic" ? 2 / 3 : 1 / 4);

/** Whether a check is due at `step`: every ΔT steps after ti, and every step after T - tf. */
export function isCheck(step: number, schedule: FreezeSchedule): boolean {
  if (isFinal(step, schedule)) return true;
  return step > schedule.initialSteps && step % schedule.interval === 0;
}

/** Whether at least one check is between ti and T - tf, so that matrices freeze gradually rather than all at once. */
export function freezesByDegrees({ interval, totalSteps, initialSteps, finalSteps }: FreezeSchedule): boolean {
  const next = (Math.floor(initialSteps / interval) + 1) * interval;
  return next <= totalSteps - finalSteps;
}

/** Whether `step` is after T - tf, when all remaining matrices freeze. */
export function isFinal(step: number, { totalSteps, finalSteps }: FreezeSchedule): boolean {
  return step > totalSteps - finalSteps;
}
