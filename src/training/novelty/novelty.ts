import { z } from "zod";
import { float32, type Tensors } from "../../graph/tensor.ts";
import type { Runtime } from "../../runtime/session.ts";
import { Turns } from "../../runtime/turns.ts";
import { argmax, softmax } from "../../tasks/probabilities.ts";
import type { TrainingExample } from "../../tasks/task-kind.ts";
import { sampleRows } from "../linear-head/folds.ts";
import { Predictor } from "../prediction/predictor.ts";
import type { TellDone } from "../progress.ts";
import type { AdaptedModel } from "../step-graph.ts";
import { distanceToNearest, fitKnownFeatures, type KnownFeatures } from "./known-features.ts";

/** Fewest validation examples for which quantiles of their scores are meaningful. */
const FEWEST_HELD = 20;
/** Limits on the training examples for the distribution of features, and on the validation examples for the usual scores. */
const MOST_ROWS = 1000;
/** Number of scores that are saved. */
const SCORES = 200;

/** Measures of how weakly the head's outputs support any of the classes. */
const DOUBTS = {
  /** Energy of the outputs, `-log Σ eᶻ` (Liu et al. 2020, arXiv 2010.03759). */
  energy(outputs: Float32Array): number {
    const largest = outputs[argmax(outputs)]!;
    return -largest - Math.log(outputs.reduce((sum, output) => sum + Math.exp(output - largest), 0));
  },
  /** 1 minus the probability of the likeliest class; for adapters that do not name a measure. */
  probability(outputs: Float32Array): number {
    const probabilities = softmax(outputs);
    return 1 - probabilities[argmax(probabilities)]!;
  },
};

const scale = z.object({ mean: z.number(), deviation: z.number().positive() });

/** Usual scores of texts of known classes. */
export const noveltyScale = z.object({
  /** Weight of a squared length; see `KnownFeatures`. */
  rest: z.number(),
  /** Scales of validation examples: the distance to the nearest class, and the doubt that the text belongs to a class. */
  distance: scale,
  doubt: scale.extend({ of: z.enum(["energy", "probability"]).default("probability") }),
  /** Scores of validation examples, ascending. */
  scores: z.array(z.number()).min(1),
});

/** Data that separate texts of known classes from others. */
export interface Novelty extends z.output<typeof noveltyScale> {
  /** `means` and `axes` of `KnownFeatures`. */
  tensors: Tensors<"float32">;
}

/**
 * Learns the distribution of the features that a model's head reads, and their usual scores on validation examples.
 * @param weights with the final head
 * @returns undefined if there are too few validation examples, a class without training examples, or more classes than sampled rows
 */
export async function learnNovelty(
  model: AdaptedModel,
  weights: Tensors,
  runtime: Runtime,
  { train, held }: { train: readonly TrainingExample[]; held: readonly TrainingExample[] },
  { tokenBudget, signal, onDone }: { tokenBudget: number; signal?: AbortSignal | undefined; onDone?: TellDone },
): Promise<Novelty | undefined> {
  const { labelCount } = model;
  if (held.length < FEWEST_HELD || labelCount > MOST_ROWS) return undefined;
  const shown = sampleOf(train);
  const classes = shown.map(classOf);
  if (new Set(classes).size < labelCount) return undefined;
  const predictor = await Predictor.compile(model, weights, runtime, { tokenBudget, withFeatures: true });
  try {
    const usualTexts = sampleOf(held);
    const of = shown.length + usualTexts.length;
    const read = (examples: readonly TrainingExample[], before: number) =>
      predictor.logits(examples, undefined, signal, (done) => onDone?.(before + done, of));
    const features = (await read(shown, 0)).map((row) => row.subarray(labelCount));
    const turns = new Turns(signal);
    const known = await fitKnownFeatures(features, classes, labelCount, turns);
    const doubt = "energy";
    const parts: Parts[] = [];
    for (const row of await read(usualTexts, shown.length)) {
      parts.push(partsOf(known, doubt, row, labelCount));
      await turns.give();
    }
    const usual = {
      rest: known.rest,
      distance: scaleOf(parts.map(({ distance }) => distance)),
      doubt: { ...scaleOf(parts.map((part) => part.doubt)), of: doubt },
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
 * Novelty of a text, higher if it is less like texts of known classes: the sum of its distance to them and of the doubt that it belongs
 * to one, each standardized on validation examples.
 * @param row the head's outputs, then the features that it reads, `[labels + width]`
 */
export function noveltyOf(novelty: Novelty, row: Float32Array, labelCount: number): number {
  const [means, axes] = [novelty.tensors.get("means")!, novelty.tensors.get("axes")!];
  const known = { width: means.shape[1]!, means: means.data, axes: axes.data, rest: novelty.rest };
  return scoreOf(novelty, partsOf(known, novelty.doubt.of, row, labelCount));
}

/**
 * Score above which a text belongs to none of the known classes, so that at most `share` of their own texts exceed it (split conformal
 * prediction, Vovk et al. 2005).
 * @returns undefined if there are too few validation scores for so small a share
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

/** A stratified sample of about a thousand examples at most, with at least one of each class. */
export function sampleOf<Example extends Pick<TrainingExample, "targets">>(examples: readonly Example[]): Example[] {
  const strata = examples.map(classOf);
  const places = sampleRows(Int32Array.from(strata.keys()), { strata }, MOST_ROWS);
  const met = new Set(Array.from(places, (place) => strata[place]!));
  const missing = [...strata.keys()].filter((place) => !met.has(strata[place]!) && met.add(strata[place]!));
  return [...places, ...missing].map((place) => examples[place]!);
}
