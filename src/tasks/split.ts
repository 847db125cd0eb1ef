import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { UserError } from "../errors.ts";
import type { Example, TaskData } from "./example.ts";
import { firstOfSame } from "./same-texts.ts";
import { findTaskKind } from "./task-kinds.ts";

interface SplitOptions {
  /** Class of an example (default: one class for all). */
  stratum?: ((example: Example) => number) | undefined;
  /** Size from which on a class contributes at least one example. */
  ofEach?: number;
  /** Whether examples with the same texts stay on one side: an answer that was learned by heart would count as right. */
  together?: boolean;
}

/**
 * Splits examples in two by a seeded draw: `fraction` of them held out, the rest for training, both in their original order and
 * with new indices. Each class contributes its share to within one example, and never its only one.
 * @throws UserError if `fraction` is not between 0 and 1 or holds nothing out.
 */
export function splitExamples(
  examples: readonly Example[],
  fraction: number,
  seed: number,
  { stratum = () => 0, ofEach = Number.POSITIVE_INFINITY, together = false }: SplitOptions = {},
): { train: Example[]; held: Example[] } {
  if (!(fraction > 0 && fraction < 1)) {
    throw new UserError(`the validation split must be a fraction between 0 and 1, not ${fraction}`);
  }
  const first = together ? firstOfSame(examples) : [...examples.keys()];
  // No answer to a text of several classes is right, so that it judges nothing.
  const contradicted = new Set(first.filter((of, i) => stratum(examples[of]!) !== stratum(examples[i]!)));
  const drawn = examples.filter((_, i) => first[i] === i && !contradicted.has(i));
  const order = shuffled(drawn, seed).sort((a, b) => stratum(a) - stratum(b));
  const chosen = new Set<Example>();
  const share = (count: number) => Math.round(count * fraction);
  let due = 0;
  let [size, given] = [0, 0];
  order.forEach((example, position) => {
    const first = position === 0 || stratum(example) !== stratum(order[position - 1]!);
    // Selects every (1 / fraction)-th of the sorted order. The first of a stratum trains, and its turn passes to the next in the stratum.
    due = (first ? 0 : due) + share(position + 1) - share(position);
    [size, given] = first ? [1, 0] : [size + 1, given];
    const last = position + 1 === order.length || stratum(example) !== stratum(order[position + 1]!);
    const missed = last && given === 0 && size >= ofEach;
    if (!missed && (first || due === 0)) return;
    chosen.add(example);
    given += 1;
    due -= 1;
  });
  const part = (held: boolean) =>
    examples.filter((_, i) => chosen.has(examples[first[i]!]!) === held).map((each, index) => ({ ...each, index }));
  const split = { train: part(false), held: part(true) };
  if (split.held.length === 0) {
    throw new UserError(
      `a validation split of ${fraction} leaves nothing to validate on: there are ${examples.length} examples; give more, or a larger fraction`,
    );
  }
  return split;
}

/** Size from which on a class contributes at least one held-out example, even if the fraction is small. */
const SMALLEST_HELD_OUT_STRATUM = 5;

/**
 * Holds out a part of a task's training examples for validation, stratified by class: at least one of each class that is not tiny.
 * Examples with the same texts stay together.
 * @throws UserError like {@link splitExamples}
 */
export function holdOut(task: TaskData, fraction: number, seed: number): TaskData {
  const { train, held } = splitExamples(task.train, fraction, seed, {
    stratum: findTaskKind(task.kind).stratumOf,
    ofEach: SMALLEST_HELD_OUT_STRATUM,
    together: true,
  });
  return { ...task, train, validation: [{ name: "validation", examples: held }], heldOut: { fraction, seed } };
}

/** Describes the draw: `held out (10 %, drawn by seed 42)`. @param seeds of draws of the same fraction */
export function heldOutText(fraction: number, seeds: readonly number[]): string {
  const share = Number((100 * fraction).toPrecision(3));
  return `held out (${share} %, drawn by ${seeds.length > 1 ? "seeds" : "seed"} ${seeds.join(", ")})`;
}

/** Seed of {@link sampleExamples}, the same for all runs, so that runs with different seeds train on the same examples. */
const SAMPLE_SEED = 0;

/** Reduces a task to at most `count` of its training examples, stratified by class. */
export function sampleExamples(task: TaskData, count: number | undefined): TaskData {
  if (count === undefined || count >= task.train.length) return task;
  const { stratumOf: stratum } = findTaskKind(task.kind);
  const { held } = splitExamples(task.train, count / task.train.length, SAMPLE_SEED, { stratum });
  return { ...task, train: held };
}

/** A copy in random order (Fisher-Yates shuffle). */
export function shuffled<T>(items: readonly T[], seed: number): T[] {
  const random = xoroshiro128plus(seed);
  const result = [...items];
  for (let i = result.length - 1; i > 0; i--) {
    const j = uniformInt(random, 0, i);
    [result[i], result[j]] = [result[j]!, result[i]!];
  }
  return result;
}
