/** How many examples there are to train on, of how many classes. */
export interface DataSize {
  examples: number;
  /** 0 where the kind has none. */
  classes: number;
}

/** Settings that the size of the data decides where they are not given. */
export interface SuitedSettings {
  batchSize: number;
  epochs: number;
  warmupRatio: number;
  /** Steps between two evaluations; after each epoch where absent. */
  evaluateEvery?: number | undefined;
}

/** Texts of a batch that are compared with each other: of each class some, where there are not too many. */
const CONTRASTED = 16;
const MOST_CONTRASTED = 128;
/** Steps by contrast for up to 32 examples; for more as the root of their number: 68 for 256. */
const CONTRAST_STEPS = 24;
/** Evaluations of a run whose epochs are a step or a few: each fits the head anew. */
const EVALUATIONS = 3;

/** Examples up to which a batch has so many. */
const BATCHES = [
  [500, 8],
  [1000, 16],
  [4000, 32],
] as const;
const LARGE_BATCH = 64;
/** Steps that are enough to learn in, as far as ten epochs give them. */
const STEPS = 150;
const MOST_EPOCHS = 10;
const FEWEST_EPOCHS = 3;

/**
 * Settings that suit so many examples: small batches of few, so that there are steps to learn in, and few epochs of many
 * (docs/few-labels.md has what they come to).
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
