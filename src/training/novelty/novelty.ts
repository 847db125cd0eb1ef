import { z } from "zod";
import { float32, type Tensors } from "../../graph/tensor.ts";
import type { Runtime } from "../../runtime/session.ts";
import { argmax, softmax } from "../../tasks/probabilities.ts";
import type { TrainingExample } from "../../tasks/task-kind.ts";
import { sampleRows } from "../linear-head/folds.ts";
import { Predictor } from "../prediction/predictor.ts";
import type { AdaptedModel } from "../step-graph.ts";
import { distanceToNearest, fitKnownFeatures, type KnownFeatures } from "./known-features.ts";

/** Validation examples from which on a share of them says something. */
const FEWEST_HELD = 20;
/** Training examples that show how features lie, and validation examples that show what is usual. */
const MOST_ROWS = 1000;
/** Scores that are kept. */
const SCORES = 200;

/** How little the head's outputs say that a text is of one of the classes. */
const DOUBTS = {
  /** Their energy, `-log Σ eᶻ` (Liu et al. 2020, arXiv 2010.03759). */
  energy(outputs: Float32Array): number {
    const largest = outputs[argmax(outputs)]!;
    return -largest - Math.log(outputs.reduce((sum, output) => sum + Math.exp(output - largest), 0));
  },
  /** What the likeliest class leaves of 1; of adapters that do not say which. */
  probability(outputs: Float32Array): number {
    const probabilities = softmax(outputs);
    return 1 - probabilities[argmax(probabilities)]!;
  },
};

const scale = z.object({ mean: z.number(), deviation: z.number().positive() });

/** How usual texts of known classes are scored. */
export const noveltyScale = z.object({
  /** What the square of a length counts for; see `KnownFeatures`. */
  rest: z.number(),
  /** Of validation examples: the distance to the nearest class, and the doubt about that it is of one. */
  distance: scale,
  doubt: scale.extend({ of: z.enum(["energy", "probability"]).default("probability") }),
  /** Scores of validation examples, ascending. */
  scores: z.array(z.number()).min(1),
});

/** What tells texts of known classes from others. */
export interface Novelty extends z.output<typeof noveltyScale> {
  /** `means` and `axes` of `KnownFeatures`. */
  tensors: Tensors<"float32">;
}

/**
 * Learns how the features of known classes lie that a model's head reads, and what of them is usual on validation examples.
 * @param weights with the head as it answers
 * @returns undefined where there are too few validation examples to tell, a class without training examples, or more classes than rows
 * are looked at
 */
export async function learnNovelty(
  model: AdaptedModel,
  weights: Tensors,
  runtime: Runtime,
  { train, held }: { train: readonly TrainingExample[]; held: readonly TrainingExample[] },
  { tokenBudget, signal }: { tokenBudget: number; signal?: AbortSignal | undefined },
): Promise<Novelty | undefined> {
  const { labelCount } = model;
  if (held.length < FEWEST_HELD || labelCount > MOST_ROWS) return undefined;
  const shown = sampleOf(train);
  const classes = shown.map(classOf);
  if (new Set(classes).size < labelCount) return undefined;
  const predictor = await Predictor.compile(model, weights, runtime, { tokenBudget, withFeatures: true });
  try {
    const read = (examples: readonly TrainingExample[]) => predictor.logits(examples, undefined, signal);
    const features = (await read(shown)).map((row) => row.subarray(labelCount));
    const known = fitKnownFeatures(features, classes, labelCount);
    const of = "energy";
    const parts = (await read(sampleOf(held))).map((row) => partsOf(known, of, row, labelCount));
    const usual = {
      rest: known.rest,
      distance: scaleOf(parts.map(({ distance }) => distance)),
      doubt: { ...scaleOf(parts.map(({ doubt }) => doubt)), of },
    } as const;
    const scores = parts.map((part) => scoreOf(usual, part)).sort((a, b) => a - b);
    const every = Math.ceil(scores.length / SCORES);
    return {
      ...usual,
      scores: scores.filter((_, i) => (scores.length - 1 - i) % every === 0),
      tensors: new Map([
        ["means", float32([labelCount, known.width], known.means)],
        ["axes", float32([known.axes.length / known.width, known.width], known.axes)],
      ]),
    };
  } finally {
    await predictor.release();
  }
}

/**
 * How unlike the texts of known classes a text is: the sum of its distance to them and of the doubt that it is of one, each by what is
 * usual on validation examples.
 * @param row the head's outputs, and the features that it reads, `[labels + width]`
 */
export function noveltyOf(novelty: Novelty, row: Float32Array, labelCount: number): number {
  const [means, axes] = [novelty.tensors.get("means")!, novelty.tensors.get("axes")!];
  const known = { width: means.shape[1]!, means: means.data, axes: axes.data, rest: novelty.rest };
  return scoreOf(novelty, partsOf(known, novelty.doubt.of, row, labelCount));
}

/**
 * The score above which a text is none of the known classes', so that at most a share of those classes' texts is (split conformal
 * prediction, Vovk et al. 2005).
 * @returns undefined where there are too few validation scores for so small a share
 */
export function noveltyThreshold({ scores }: Pick<Novelty, "scores">, share: number): number | undefined {
  return scores[Math.ceil((scores.length + 1) * (1 - share)) - 1];
}

interface Parts {
  distance: number;
  doubt: number;
}

const partsOf = (known: KnownFeatures, of: keyof typeof DOUBTS, row: Float32Array, labelCount: number): Parts => ({
  distance: distanceToNearest(known, row.subarray(labelCount)),
  doubt: DOUBTS[of](row.subarray(0, labelCount)),
});

const scoreOf = ({ distance, doubt }: Pick<Novelty, "distance" | "doubt">, parts: Parts): number =>
  (parts.distance - distance.mean) / distance.deviation + (parts.doubt - doubt.mean) / doubt.deviation;

function scaleOf(values: readonly number[]): z.output<typeof scale> {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return { mean, deviation: Math.max(Math.sqrt(variance), Number.MIN_VALUE) };
}

/** The class of an example with a one-hot target. */
const classOf = ({ targets }: Pick<TrainingExample, "targets">): number => argmax(Float32Array.from(targets.data));

/** About a thousand at most, of each class its share, and of each class one. */
export function sampleOf<Example extends Pick<TrainingExample, "targets">>(examples: readonly Example[]): Example[] {
  const strata = examples.map(classOf);
  const places = sampleRows(Int32Array.from(strata.keys()), { strata }, MOST_ROWS);
  const met = new Set(Array.from(places, (place) => strata[place]!));
  const missing = [...strata.keys()].filter((place) => !met.has(strata[place]!) && met.add(strata[place]!));
  return [...places, ...missing].map((place) => examples[place]!);
}
