/** Examples up to which a batch has so many. */
const BATCHES = [
  [500, 8],
  [4000, 16],
] as const;
const LARGE_BATCH = 32;
/** Steps that are enough to learn, where there are few examples. */
const STEPS = 150;

/** Settings that suit so many examples: small batches of few, so that there are steps to learn in, and few epochs of many. */
export function settingsFor(examples: number): { batchSize: number; epochs: number } {
  const batchSize = BATCHES.find(([most]) => examples < most)?.[1] ?? LARGE_BATCH;
  return { batchSize, epochs: Math.min(10, Math.max(1, Math.round((STEPS * batchSize) / examples))) };
}
