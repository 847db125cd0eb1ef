/** Predictions of like probability, and how many of them were right. */
export interface ReliabilityBin {
  count: number;
  /** Mean probability that was given. */
  confidence: number;
  /** Share that was right. */
  accuracy: number;
}

/** Bins of one width that probabilities fall into, as in Guo et al. 2017, arXiv 1706.04599. */
const BINS = 15;

/**
 * Predictions by their probability, in bins of one width from 0 to 1; empty ones are left out.
 * @param probabilities one for each prediction @param right whether it was
 */
export function reliability(probabilities: readonly number[], right: readonly boolean[]): ReliabilityBin[] {
  const bins = Array.from({ length: BINS }, () => ({ count: 0, confidence: 0, accuracy: 0 }));
  probabilities.forEach((probability, i) => {
    const bin = bins[Math.min(BINS - 1, Math.floor(probability * BINS))]!;
    bin.count++;
    bin.confidence += probability;
    bin.accuracy += Number(right[i]);
  });
  return bins
    .filter(({ count }) => count > 0)
    .map(({ count, confidence, accuracy }) => ({
      count,
      confidence: confidence / count,
      accuracy: accuracy / count,
    }));
}

/** Expected calibration error: how far probabilities are from the share that is right, a mean over predictions; 0 to 1. */
export function calibrationError(bins: readonly ReliabilityBin[]): number {
  const total = bins.reduce((sum, { count }) => sum + count, 0);
  return bins.reduce(
    (sum, { count, confidence, accuracy }) => sum + (count / total) * Math.abs(confidence - accuracy),
    0,
  );
}

/** How many predictions are at least this sure, and how many of them are right. */
export interface ConfidenceStep {
  probability: number;
  kept: number;
  right: number;
}

/** Steps that are kept of a curve. */
const STEPS = 100;

/** The surest predictions and how many of them are right, from few to all. @returns at most a hundred steps, by falling probability */
export function confidenceSteps(probabilities: readonly number[], right: readonly boolean[]): ConfidenceStep[] {
  const sorted = probabilities.map((probability, i) => ({ probability, right: right[i]! }));
  sorted.sort((a, b) => b.probability - a.probability);
  let hits = 0;
  const all = sorted.map(({ probability, right: isRight }, i): ConfidenceStep => {
    hits += Number(isRight);
    return { probability, kept: i + 1, right: hits };
  });
  // Predictions that are equally sure are kept or left together.
  const steps = all.filter(({ probability }, i) => probability !== all[i + 1]?.probability);
  const every = Math.ceil(steps.length / STEPS);
  return steps.filter((_, i) => (steps.length - 1 - i) % every === 0);
}

/**
 * The least probability above which at least a share of predictions is right, one more counted as wrong than was seen: few predictions
 * that were all right are no proof. Undefined where there is none.
 */
export function thresholdFor(steps: readonly ConfidenceStep[], precision: number): number | undefined {
  return steps.findLast(({ kept, right }) => right / (kept + 1) >= precision)?.probability;
}
