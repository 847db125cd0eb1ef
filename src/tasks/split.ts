import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { UserError } from "../errors.ts";
import type { Example, TaskData } from "./example.ts";
import { type List, mapped, picked } from "./list.ts";
import { firstOfSame } from "./same-texts.ts";
import { findTaskKind } from "./task-kinds.ts";

interface SplitOptions {
  stratum?: ((example: Example) => number) | undefined;
  /** Size from which on a class contributes at least one example. */
  ofEach?: number;
  /** Whether examples with the same texts stay on one side: an answer that was learned by heart would count as right. */
  together?: boolean;
}

/**
 * Splits examples in two by a seeded draw: `fraction` of them held out, the rest for training, both in their original
 * order and with new indices. Each class contributes its share to within one example, and never its only one.
 */
export function splitExamples(
  examples: List<Example>,
  fraction: number,
  seed: number,
  options: SplitOptions = {},
): { train: List<Example>; held: List<Example> } {
  if (!(fraction > 0 && fraction < 1)) {
    throw new UserError(`the validation split must be a fraction between 0 and 1, not ${fraction}`);
  }
  const isHeld = draw(examples, fraction, seed, options);
  const part = (held: number): List<Example> =>
    mapped(picked(examples, placesOf(isHeld, held)), (example, index) => ({ ...example, index }));
  const split = { train: part(0), held: part(1) };
  if (split.held.length === 0) {
    throw new UserError(
      `a validation split of ${fraction} leaves nothing to validate on: there are ${examples.length} examples; give more, or a larger fraction`,
    );
  }
  return split;
}

function draw(
  examples: List<Example>,
  fraction: number,
  seed: number,
  { stratum = () => 0, ofEach = Number.POSITIVE_INFINITY, together = false }: SplitOptions,
): Uint8Array {
  const strata = new Float64Array(examples.length);
  let filled = 0;
  for (const example of examples) strata[filled++] = stratum(example);
  const same = together ? firstOfSame(examples) : undefined;
  // If all texts are the same, they cannot stay together.
  const first = same?.some((of) => of > 0) ? same : Uint32Array.from(strata.keys());
  // No answer to a text of several classes is right, so that it judges nothing.
  const contradicted = new Set(first.filter((of, i) => strata[of] !== strata[i]));
  const places = first.filter((of, i) => of === i && !contradicted.has(i));
  const order = shuffled(places, seed).sort((a, b) => strata[a]! - strata[b]!);
  const isDrawn = new Uint8Array(strata.length);
  const rows = new Uint32Array(strata.length);
  for (const of of first) rows[of]! += 1;
  const share = (count: number) => Math.round(count * fraction);
  let [due, seen] = [0, 0];
  let [size, given] = [0, 0];
  order.forEach((place, position) => {
    const isFirst = position === 0 || strata[place] !== strata[order[position - 1]!];
    // Selects every (1 / fraction)-th of the sorted order. The first of a stratum trains, and its turn passes to the next in the stratum.
    due = (isFirst ? 0 : due) + share(seen + rows[place]!) - share(seen);
    seen += rows[place]!;
    [size, given] = isFirst ? [1, 0] : [size + 1, given];
    const last = position + 1 === order.length || strata[place] !== strata[order[position + 1]!];
    const missed = last && given === 0 && size >= ofEach;
    if (!missed && (isFirst || due <= 0)) return;
    isDrawn[place] = 1;
    given += 1;
    due -= rows[place]!;
  });
  return isDrawn.map((_, place) => isDrawn[first[place]!]!);
}

const placesOf = (drawn: Uint8Array, which: number): Uint32Array =>
  Uint32Array.from(drawn.keys()).filter((place) => drawn[place] === which);

/** Size from which on a class contributes at least one held-out example, even if the fraction is small. */
const SMALLEST_HELD_OUT_STRATUM = 5;

/**
 * Holds out a part of a task's training examples for validation, stratified by class: at least one of each class that
 * is not tiny. Examples with the same texts stay together.
 */
export function holdOut(task: TaskData, fraction: number, seed: number): TaskData {
  const { train, held } = splitExamples(task.train, fraction, seed, {
    stratum: findTaskKind(task.kind).stratumOf,
    ofEach: SMALLEST_HELD_OUT_STRATUM,
    together: true,
  });
  return { ...task, train, validation: [{ name: "validation", examples: held }], heldOut: { fraction, seed } };
}

export function heldOutText(fraction: number, seeds: readonly number[]): string {
  const share = Number((100 * fraction).toPrecision(3));
  return `held out (${share} %, drawn by ${seeds.length > 1 ? "seeds" : "seed"} ${seeds.join(", ")})`;
}

/** Seed of {@link sampleExamples}, the same for all runs, so that runs with different seeds train on the same examples. */
const SAMPLE_SEED = 0;

export function sampleExamples(task: TaskData, count: number | undefined): TaskData {
  if (count === undefined || count >= task.train.length) return task;
  const { stratumOf: stratum } = findTaskKind(task.kind);
  const { held } = splitExamples(task.train, count / task.train.length, SAMPLE_SEED, { stratum });
  return { ...task, train: held };
}

export function samplePlaces({ kind }: Pick<TaskData, "kind">, examples: List<Example>, count: number): Uint32Array {
  const { stratumOf: stratum } = findTaskKind(kind);
  return placesOf(draw(examples, count / examples.length, SAMPLE_SEED, { stratum, ofEach: 1 }), 1);
}

export function shuffled<Numbers extends number[] | Uint32Array>(numbers: Numbers, seed: number): Numbers {
  const random = xoroshiro128plus(seed);
  const result = numbers.slice() as Numbers;
  for (let i = result.length - 1; i > 0; i--) {
    const j = uniformInt(random, 0, i);
    [result[i], result[j]] = [result[j]!, result[i]!];
  }
  return result;
}
