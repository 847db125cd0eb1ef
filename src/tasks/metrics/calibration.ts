/** Predictions of similar probability, with their accuracy. */
export interface ReliabilityBin {
  count: number;
  /** Mean predicted probability. */
  confidence: number;
  /** Share of correct predictions. */
  accuracy: number;
}

/** Number of bins of equal width, as in Guo et al. 2017, arXiv 1706.04599. */
const BINS = 15;

/** Groups predictions by probability into bins of equal width from 0 to 1. Empty bins are left out. */
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

/** Expected calibration error: mean distance between probability and accuracy over all predictions, 0 to 1. */
export function calibrationError(bins: readonly ReliabilityBin[]): number {
  const total = bins.reduce((sum, { count }) => sum + count, 0);
  return bins.reduce(
    (sum, { count, confidence, accuracy }) => sum + (count / total) * Math.abs(confidence - accuracy),
    0,
  );
}

/** Number of predictions with at least this probability, and of the correct ones among them. */
export interface ConfidenceStep {
  probability: number;
  kept: number;
  right: number;
}

const STEPS = 100;

export function confidenceSteps(probabilities: readonly number[], right: readonly boolean[]): ConfidenceStep[] {
  const sorted = probabilities.map((probability, i) => ({ probability, right: right[i]! }));
  sorted.sort((a, b) => b.probability - a.probability);
  let hits = 0;
  const all = sorted.map(({ probability, right: isRight }, i): ConfidenceStep => {
    hits += Number(isRight);
    return { probability, kept: i + 1, right: hits };
  });
  // Predictions of equal probability are kept or left out together.
  const steps = all.filter(({ probability }, i) => probability !== all[i + 1]?.probability);
  const every = Math.ceil(steps.length / STEPS);
  return steps.filter((_, i) => (steps.length - 1 - i) % every === 0);
}

/**
 * Lowest probability above which at least the share `precision` of predictions is correct, counting one more wrong prediction than
 * observed, because few predictions that are all correct are no proof. Undefined if there is none.
 */
export function thresholdFor(steps: readonly ConfidenceStep[], precision: number): number | undefined {
  return steps.findLast(({ kept, right }) => right / (kept + 1) >= precision)?.probability;
}
