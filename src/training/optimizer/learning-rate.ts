export interface WarmUp {
  warmupRatio: number;
  warmupSteps?: number | undefined;
}

/**
 * Factor on the peak learning rate at `step` (from 0): linear warm-up over the first `warmupSteps` (default: ⌈warmupRatio · T⌉), then
 * linear decay to 0 at step T, as in Hugging Face's `get_linear_schedule_with_warmup`. With any warm-up, step 0 has factor 0.
 */
export function learningRateFactor(
  step: number,
  totalSteps: number,
  { warmupRatio, warmupSteps: given }: WarmUp,
): number {
  const warmupSteps = given ?? Math.ceil(warmupRatio * totalSteps);
  if (step < warmupSteps) return step / warmupSteps;
  return Math.max(0, (totalSteps - step) / Math.max(1, totalSteps - warmupSteps));
}

/** Whether every step of a run has factor 0, as in a run of one step with any warm-up. */
export function isAllZero(totalSteps: number, warmUp: WarmUp): boolean {
  for (let step = 0; step < totalSteps; step++) if (learningRateFactor(step, totalSteps, warmUp) > 0) return false;
  return true;
}
