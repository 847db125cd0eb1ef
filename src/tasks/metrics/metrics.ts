// Metrics with Hugging Face's names and scales. Values equal those of scikit-learn, SciPy and seqeval.

export interface Counts {
  truePositives: number;
  falsePositives: number;
  falseNegatives: number;
}

type Numbers = ArrayLike<number>;

export function accuracy(predictions: Numbers, labels: Numbers): number {
  let right = 0;
  for (let i = 0; i < labels.length; i++) right += predictions[i] === labels[i] ? 1 : 0;
  return ratio(right, labels.length);
}

/** Counts of examples `[true class, predicted class]`. */
export function confusionMatrix(predictions: Numbers, labels: Numbers, classes: number): number[][] {
  const matrix = range(classes).map(() => new Array<number>(classes).fill(0));
  for (let i = 0; i < labels.length; i++) matrix[labels[i]!]![predictions[i]!]! += 1;
  return matrix;
}

export function classCounts(predictions: Numbers, labels: Numbers, classes: number): Counts[] {
  const counts = range(classes).map(() => ({ truePositives: 0, falsePositives: 0, falseNegatives: 0 }));
  for (let i = 0; i < labels.length; i++) {
    const [found, truth] = [counts[predictions[i]!]!, counts[labels[i]!]!];
    if (found === truth) found.truePositives++;
    else {
      found.falsePositives++;
      truth.falseNegatives++;
    }
  }
  return counts;
}

export function multiLabelCounts(
  predictions: readonly (readonly number[])[],
  labels: readonly (readonly number[])[],
  classes: number,
): Counts[] {
  const counts = range(classes).map(() => ({ truePositives: 0, falsePositives: 0, falseNegatives: 0 }));
  labels.forEach((truth, row) => {
    const found = predictions[row]!;
    for (const index of found) counts[index]![truth.includes(index) ? "truePositives" : "falsePositives"] += 1;
    for (const index of truth) if (!found.includes(index)) counts[index]!.falseNegatives += 1;
  });
  return counts;
}

/** Counts of entities over tagged sentences. An entity is correct if its type, start and end are. */
export function entityCounts(
  predictions: readonly (readonly string[])[],
  labels: readonly (readonly string[])[],
): Counts {
  const counts = { truePositives: 0, falsePositives: 0, falseNegatives: 0 };
  const setOf = (tags: readonly string[]): Set<string> =>
    new Set(entitiesOf(tags).map(({ type, start, end }) => `${type} ${start} ${end}`));
  labels.forEach((truth, row) => {
    const expected = setOf(truth);
    const found = setOf(predictions[row]!);
    const shared = [...found].filter((entity) => expected.has(entity)).length;
    counts.truePositives += shared;
    counts.falsePositives += found.size - shared;
    counts.falseNegatives += expected.size - shared;
  });
  return counts;
}

export function precisionOf({ truePositives, falsePositives }: Counts): number {
  return ratio(truePositives, truePositives + falsePositives);
}

export function recallOf({ truePositives, falseNegatives }: Counts): number {
  return ratio(truePositives, truePositives + falseNegatives);
}

export function f1Of({ truePositives, falsePositives, falseNegatives }: Counts): number {
  return ratio(2 * truePositives, 2 * truePositives + falsePositives + falseNegatives);
}

export function macroF1(counts: readonly Counts[]): number {
  return ratio(sum(counts.map(f1Of)), counts.length);
}

export function microF1(counts: readonly Counts[]): number {
  return f1Of({
    truePositives: sum(counts.map((count) => count.truePositives)),
    falsePositives: sum(counts.map((count) => count.falsePositives)),
    falseNegatives: sum(counts.map((count) => count.falseNegatives)),
  });
}

/** Matthews correlation for any number of classes (Gorodkin 2004). */
export function matthewsCorrelation(classes: readonly Counts[]): number {
  const truth = classes.map(({ truePositives, falseNegatives }) => truePositives + falseNegatives);
  const found = classes.map(({ truePositives, falsePositives }) => truePositives + falsePositives);
  const total = sum(truth);
  const right = sum(classes.map(({ truePositives }) => truePositives));
  const spread = (counts: number[]) => total ** 2 - product(counts, counts);
  return ratio(right * total - product(truth, found), Math.sqrt(spread(truth) * spread(found)));
}

export function pearson(predictions: Numbers, labels: Numbers): number {
  const a = centred(predictions);
  const b = centred(labels);
  return ratio(product(a, b), Math.sqrt(product(a, a) * product(b, b)));
}

/** Spearman correlation: the Pearson correlation of the ranks, where equal values share their mean rank. */
export function spearman(predictions: Numbers, labels: Numbers): number {
  return pearson(ranks(predictions), ranks(labels));
}

export function meanSquaredError(predictions: Numbers, labels: Numbers): number {
  return ratio(sum(Array.from(labels, (label, index) => (predictions[index]! - label) ** 2)), labels.length);
}

export interface Entity {
  /** `PER` of `B-PER`; empty if the tags have no types. */
  type: string;
  start: number;
  end: number;
}

/**
 * Entities of a sentence's tags, as in conlleval and seqeval (not strict): an entity starts at `B-`, and at `I-` after
 * another type or `O`. BIOES tags work too.
 */
export function entitiesOf(tags: readonly string[]): Entity[] {
  const entities: Entity[] = [];
  let start = -1;
  tags.forEach((tag, index) => {
    if (tag[0] === "O") return;
    if (!continues(tags[index - 1], tag)) start = index;
    if (!continues(tag, tags[index + 1])) entities.push({ type: tag.slice(2), start, end: index + 1 });
  });
  return entities;
}

function continues(previous: string | undefined, tag: string | undefined): boolean {
  return /^[BI]/.test(previous ?? "") && /^[IE]/.test(tag ?? "") && previous!.slice(2) === tag!.slice(2);
}

export function ranks(values: Numbers): number[] {
  const order = range(values.length).sort((a, b) => values[a]! - values[b]!);
  const result = new Array<number>(values.length);
  for (let start = 0, end = 0; start < order.length; start = end) {
    while (end < order.length && values[order[end]!] === values[order[start]!]) end++;
    for (let i = start; i < end; i++) result[order[i]!] = (start + end + 1) / 2;
  }
  return result;
}

/** Values minus their mean: exactly 0 if all are equal, because the first value is subtracted before rounding errors occur. */
function centred(values: Numbers): number[] {
  const shifted = Array.from(values, (value) => value - values[0]!);
  const mean = sum(shifted) / shifted.length;
  return shifted.map((value) => value - mean);
}

function range(length: number): number[] {
  return Array.from({ length }, (_, index) => index);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function product(a: readonly number[], b: readonly number[]): number {
  return a.reduce((total, value, index) => total + value * b[index]!, 0);
}

/** Ratio, or 0 if the denominator is 0. */
function ratio(numerator: number, denominator: number): number {
  return denominator === 0 ? 0 : numerator / denominator;
}
