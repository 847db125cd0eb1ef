/**
 * Factor on the peak learning rate at `step` (from 0): linear warm-up over the first ⌈warmupRatio · T⌉ steps, then
 * linear decay to 0 at step T, as Hugging Face's `get_linear_schedule_with_warmup`. With any warm-up, step 0 has
 * factor 0.
 */
export function learningRateFactor(step: number, totalSteps: number, warmupRatio: number): number {
  const warmupSteps = Math.ceil(warmupRatio * totalSteps);
  if (step < warmupSteps) return step / warmupSteps;
  return Math.max(0, (totalSteps - step) / Math.max(1, totalSteps - warmupSteps));
}

/** Whether every step of a run has factor 0, as the only one has with any warm-up. */
export function isAllZero(totalSteps: number, warmupRatio: number): boolean {
  for (let step = 0; step < totalSteps; step++) if (learningRateFactor(step, totalSteps, warmupRatio) > 0) return false;
  return true;
}
