/**
 * Score of a projection matrix (arXiv 2403.13269; docs/method.md): the gradient `|∂L/∂θ|` or the sensitivity `|θ · ∂L/∂θ|`, both
 * averaged over steps and weighted by their uncertainty; the magnitude `|θ|`; or the matrix's position in the model, from the input.
 */
export const FREEZE_SCORES = ["gradient", "sensitivity", "magnitude", "depth"] as const;
/** Score by which the schedule freezes matrices. */
export type FreezeScore = (typeof FREEZE_SCORES)[number];

/** Whether a score is averaged over steps. */
export const isAveraged = (score: FreezeScore): boolean => score === "gradient" || score === "sensitivity";

/** Smoothed importance of one matrix's elements, `[size]` each. */
export interface Importance {
  /** Ī */
  average: Float32Array;
  /** Ū */
  uncertainty: Float32Array;
  /** Running mean of I since the last update of Ī and Ū; only if the score is windowed. */
  window?: Float32Array;
}

/** Writes `I = |gradient|`, or `|gradient · weight|` if `weight` is given, into `out`. All `[size]`. */
export function instantImportance(out: Float32Array, gradient: Float32Array, weight?: Float32Array): void {
  if (weight) for (let i = 0; i < out.length; i++) out[i] = Math.abs(gradient[i]! * weight[i]!);
  else for (let i = 0; i < out.length; i++) out[i] = Math.abs(gradient[i]!);
}

/**
 * Updates the averages Ī and Ū with I, in place (docs/method.md, "The freezing score"). Each operation rounds to float32 like the
 * reference code, so that thresholds agree to the bit.
 */
export function updateAverages(state: Importance, importance: Float32Array, beta1: number, beta2: number): void {
  const { average, uncertainty } = state;
  const [keep1, add1] = [Math.fround(beta1), Math.fround(1 - beta1)];
  const [keep2, add2] = [Math.fround(beta2), Math.fround(1 - beta2)];
  for (let i = 0; i < importance.length; i++) {
    const now = importance[i]!;
    const mean = Math.fround(Math.fround(keep1 * average[i]!) + Math.fround(add1 * now));
    const deviation = Math.abs(Math.fround(now - mean));
    average[i] = mean;
    uncertainty[i] = Math.fround(keep2 * uncertainty[i]!) + Math.fround(add2 * deviation);
  }
}

/** Updates a running mean of `count` earlier values with I, in place, rounded like the reference code. */
export function foldIntoWindow(window: Float32Array, importance: Float32Array, count: number): void {
  for (let i = 0; i < window.length; i++) {
    window[i] = Math.fround(Math.fround(window[i]! * count) + importance[i]!) / (count + 1);
  }
}

/**
 * Updates Ī and Ū with the I of step `step`. With a window, every `interval` steps, with the mean over `interval` steps
 * (docs/method.md, "The released code averages first").
 */
export function accumulateImportance(
  state: Importance,
  importance: Float32Array,
  step: number,
  { interval, beta1, beta2 }: { interval: number; beta1: number; beta2: number },
): void {
  const { window } = state;
  if (!window) {
    updateAverages(state, importance, beta1, beta2);
  } else if (step % interval === 0) {
    updateAverages(state, window, beta1, beta2);
    window.set(importance);
  } else {
    foldIntoWindow(window, importance, step % interval);
  }
}

/** Writes the score of every element, `Ī ∘ Ū`, into `out`. All `[size]`. */
export function elementScores(out: Float32Array, { average, uncertainty }: Importance): void {
  for (let i = 0; i < out.length; i++) out[i] = average[i]! * uncertainty[i]!;
}

/** Sum in float64. */
export function sum(values: Float32Array): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i]!;
  return total;
}

/**
 * The k-th smallest (k from 1) of all values that `parts` yields; none may be negative. The bits of such floats are in the same
 * order as the floats, so counting upper and then lower half-words finds the value exactly, in two passes and without
 * copying or sorting.
 * @param parts is called twice and must yield the same values each time; it may reuse the array
 */
export function kthSmallest(parts: () => Iterable<Float32Array>, k: number): number {
  const counts = new Uint32Array(1 << 16);
  for (const part of parts()) {
    const bits = new Uint32Array(part.buffer, part.byteOffset, part.length);
    for (let i = 0; i < bits.length; i++) counts[bits[i]! >>> 16]!++;
  }
  const [upper, before] = findRank(counts, k);

  counts.fill(0);
  for (const part of parts()) {
    const bits = new Uint32Array(part.buffer, part.byteOffset, part.length);
    for (let i = 0; i < bits.length; i++) if (bits[i]! >>> 16 === upper) counts[bits[i]! & 0xffff]!++;
  }
  const [lower] = findRank(counts, k - before);
  return new Float32Array(Uint32Array.of((upper << 16) | lower).buffer)[0]!;
}

/** The bin that contains rank `k` (from 1), and the number of values in the bins before it. */
function findRank(counts: Uint32Array, k: number): [bin: number, before: number] {
  let before = 0;
  let bin = 0;
  while (before + counts[bin]! < k) before += counts[bin++]!;
  return [bin, before];
}
