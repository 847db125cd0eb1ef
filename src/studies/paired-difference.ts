import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { loadFineTunedModel } from "../inference/load-fine-tuned-model-node.ts";
import type { EvaluationSource } from "../runs/evaluate-run.ts";
import { splitsOf } from "../runs/evaluate-run.ts";
import { runtimeFor } from "../runtime/runtime-for-node.ts";
import { Turns } from "../runtime/turns.ts";
import { computeMetrics, prepareMetrics } from "../tasks/examples.ts";
import { lowerIsBetter } from "../tasks/metrics/metric-direction.ts";
import { SEARCH_METRIC_NAMES, searchMetric } from "../tasks/metrics/retrieval-metrics.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import { deviation, mean } from "./statistics.ts";

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
 * @throws UserError if a run or the data cannot be read; the signal's reason
 */
export async function pairedDifference(
  first: string,
  second: string,
  source: EvaluationSource,
  by?: string,
  signal?: AbortSignal,
): Promise<PairedDifference> {
  const a = await predictionsOf(first, source, signal);
  const b = await predictionsOf(second, source, signal);
  const metric = by ?? a.task.metrics[0]!;
  const [{ count, scoreOf: ofA }, { scoreOf: ofB }] = [
    await unitsOf(a, metric, signal),
    await unitsOf(b, metric, signal),
  ];
  const sign = lowerIsBetter(metric) ? -1 : 1;
  const random = xoroshiro128plus(SEED);
  const resamples = Array.from({ length: RESAMPLES }).keys();
  const gains = await new Turns(signal).map(resamples, () => {
    const drawn = Array.from({ length: count }, () => uniformInt(random, 0, count - 1));
    return sign * (ofA(drawn) - ofB(drawn));
  });
  const all = [...Array(count).keys()];
  const [x, y] = [ofA(all), ofB(all)];
  return {
    metric,
    examples: a.examples.length,
    first: x,
    second: y,
    gain: sign * (x - y),
    standardError: deviation(gains.filter(Number.isFinite)),
  };
}

interface Units {
  count: number;
  scoreOf(drawn: readonly number[]): number;
}

/**
 * Units of a model's predictions: the queries of a search metric, otherwise the examples. Each query is searched once. In a search
 * among drawn examples, an example that is drawn twice would count once.
 */
async function unitsOf(
  { task, examples, predictions }: Awaited<ReturnType<typeof predictionsOf>>,
  metric: string,
  signal: AbortSignal | undefined,
): Promise<Units> {
  const kind = findTaskKind(task.kind);
  if (SEARCH_METRIC_NAMES.includes(metric) && kind.retrieval) {
    await prepareMetrics(kind, predictions, examples, signal);
    const values = kind.retrieval.outcomesOf(predictions, examples).map((outcome) => searchMetric(metric, [outcome]));
    return { count: values.length, scoreOf: (drawn) => mean(drawn.map((i) => values[i]!)) };
  }
  const scoreOf = (drawn: readonly number[]): number => {
    const [found, of] = [drawn.map((i) => predictions[i]!), drawn.map((i) => examples[i]!)];
    return computeMetrics({ ...task, metrics: [metric] }, found, of)[metric]!;
  };
  return { count: examples.length, scoreOf };
}

async function predictionsOf(run: string, source: EvaluationSource, signal: AbortSignal | undefined) {
  const model = await loadFineTunedModel(run, runtimeFor(source), { offline: source.offline });
  try {
    // One split represents all: those of a task are of one kind.
    const { examples } = (await splitsOf(run, source, model))[0]!;
    return {
      task: model.description.task,
      examples,
      predictions: await model.predictLabels(examples, { onDone: source.onDone, signal }),
    };
  } finally {
    await model.release();
  }
}
