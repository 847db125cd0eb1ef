import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { loadFineTunedModel } from "../inference/load-fine-tuned-model-node.ts";
import type { EvaluationSource } from "../runs/evaluate-run.ts";
import { splitsOf } from "../runs/evaluate-run.ts";
import { runtimeFor } from "../runtime/runtime-for-node.ts";
import type { Example, Prediction } from "../tasks/example.ts";
import { computeMetrics } from "../tasks/examples.ts";
import { lowerIsBetter } from "../tasks/metrics/metric-direction.ts";
import { deviation } from "./statistics.ts";

/** Difference of two models' scores on the same examples, and how much of it the draw of the examples explains. */
export interface PairedDifference {
  metric: string;
  examples: number;
  first: number;
  second: number;
  /** How much better the first model is; negative if it is worse. */
  gain: number;
  /** Standard error of the gain, by resampling examples (Efron's bootstrap, pairs kept together). */
  standardError: number;
}

/** Describes a difference from the defaults: whether the draw of the examples explains it (two standard errors). */
export function besideChance({ gain, standardError }: Pick<PairedDifference, "gain" | "standardError">): string {
  if (Math.abs(gain) <= 2 * standardError) return "no more than chance in these examples explains";
  return `more than chance in these examples explains${gain < 0 ? ", in favour of the defaults" : ""}`;
}

/** Number of resamples, which estimates a standard error within 3 %. */
const RESAMPLES = 500;
const SEED = 0;

/**
 * Compares two runs' models on the same examples of their task.
 * @param by metric (default: the task's first)
 * @throws UserError if a run or the data cannot be read
 */
export async function pairedDifference(
  first: string,
  second: string,
  source: EvaluationSource,
  by?: string,
): Promise<PairedDifference> {
  const a = await predictionsOf(first, source);
  const b = await predictionsOf(second, source);
  const { task, examples } = a;
  const metric = by ?? task.metrics[0]!;
  const scoreOf = (predictions: readonly Prediction[], of: readonly Example[]): number =>
    computeMetrics(task, [...predictions], [...of])[metric]!;
  const sign = lowerIsBetter(metric) ? -1 : 1;
  const random = xoroshiro128plus(SEED);
  const gains = Array.from({ length: RESAMPLES }, () => {
    const drawn = Array.from({ length: examples.length }, () => uniformInt(random, 0, examples.length - 1));
    const of = drawn.map((i) => examples[i]!);
    const [x, y] = [a, b].map(({ predictions }) =>
      scoreOf(
        drawn.map((i) => predictions[i]!),
        of,
      ),
    );
    return sign * (x! - y!);
  });
  const [x, y] = [scoreOf(a.predictions, examples), scoreOf(b.predictions, examples)];
  return {
    metric,
    examples: examples.length,
    first: x,
    second: y,
    gain: sign * (x - y),
    standardError: deviation(gains.filter(Number.isFinite)),
  };
}

async function predictionsOf(run: string, source: EvaluationSource) {
  const model = await loadFineTunedModel(run, runtimeFor(source), { offline: source.offline });
  try {
    // One split represents all: those of a task are of one kind.
    const { examples } = (await splitsOf(run, source, model))[0]!;
    return {
      task: model.description.task,
      examples,
      predictions: await model.predictLabels(examples, { onDone: source.onDone }),
    };
  } finally {
    await model.release();
  }
}
