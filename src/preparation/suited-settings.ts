/** Number of training examples and of their classes. */
export interface DataSize {
  examples: number;
  /** 0 for kinds without classes. */
  classes: number;
}

/** Settings whose defaults depend on the size of the data. */
export interface SuitedSettings {
  batchSize: number;
  epochs: number;
  warmupRatio: number;
  /** Steps between two evaluations (default: one epoch). */
  evaluateEvery?: number | undefined;
}

/** Texts of a contrastive batch: at least 16, two of each class, at most 128. */
const CONTRASTED = 16;
const MOST_CONTRASTED = 128;
/** Contrastive steps for up to 32 examples; they grow with the square root of the number: 68 for 256. */
const CONTRAST_STEPS = 24;
/** Evaluations of a contrastive run. They are few, because each of them fits the head again. */
const EVALUATIONS = 3;

/** Batch sizes by the number of examples: below 500, 8, and so on. */
const BATCHES = [
  [500, 8],
  [1000, 16],
  [4000, 32],
] as const;
const LARGE_BATCH = 64;
/** Steps that a run should have, if ten epochs are enough for them. */
const STEPS = 150;
const MOST_EPOCHS = 10;
const FEWEST_EPOCHS = 3;

/**
 * Returns settings that suit the number of examples: small batches for few, so that there are enough steps, and few epochs for many
 * (docs/few-rows.md has their scores).
 * @param contrastive whether classes are learned by contrast
 */
export function suitedSettings({ examples, classes }: DataSize, contrastive: boolean): SuitedSettings {
  if (contrastive) {
    const batchSize = Math.min(examples, MOST_CONTRASTED, Math.max(CONTRASTED, 2 * classes));
    const perEpoch = Math.ceil(examples / batchSize);
    const epochs = Math.max(1, Math.round((CONTRAST_STEPS * Math.sqrt(Math.max(1, examples / 32))) / perEpoch));
    const evaluateEvery = Math.max(perEpoch, Math.ceil((epochs * perEpoch) / EVALUATIONS));
    return { batchSize, epochs, warmupRatio: 0.1, evaluateEvery };
  }
  const batchSize = BATCHES.find(([most]) => examples < most)?.[1] ?? LARGE_BATCH;
  const wanted = Math.ceil((STEPS * batchSize) / examples);
  return { batchSize, epochs: Math.min(MOST_EPOCHS, Math.max(FEWEST_EPOCHS, wanted)), warmupRatio: 0.06 };
}
