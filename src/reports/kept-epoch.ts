import type { RunRecords } from "../runs/read-run.ts";
import { metricDirections } from "../tasks/task-kinds.ts";
import type { EvaluationRecord } from "../training/training-records.ts";
import { number } from "./quantities.ts";

/** Explains in one sentence why an epoch was kept if another score seems to speak for another epoch. */
export function whyKept({
  evaluations,
  findings,
  result,
}: Pick<RunRecords, "evaluations" | "findings" | "result">): string | undefined {
  const kept = result && evaluations.find(({ epoch }) => epoch === result.bestEpoch);
  const [metric, value] = Object.entries(kept?.metrics ?? {})[0] ?? [];
  if (!kept || metric === undefined) return undefined;
  const sign = metricDirections().get(metric) === false ? -1 : 1;
  const best = evaluations.reduce((a, b) => (sign * (b.metrics[metric]! - a.metrics[metric]!) > 0 ? b : a), kept);
  const name = `epoch ${number(kept.epoch)}`;
  if (best !== kept && sign * (best.metrics[metric]! - value!) > 0) {
    const had = `epoch ${number(best.epoch)} had a better ${metric} (${number(best.metrics[metric])})`;
    return findings?.startsFitted
      ? `${had}, but by less than the standard error of the difference: ${name} is kept, because a model that has trained classifies other texts better than the head that it began with`
      : `${had}, but before training the head is random, so ${name} is kept`;
  }
  const lowest = evaluations.reduce((a: EvaluationRecord, b) => (b.loss < a.loss ? b : a), kept);
  if (lowest === kept || lowest.metrics[metric] === value) return undefined;
  return `the validation loss was lowest at epoch ${number(lowest.epoch)} (${number(lowest.loss)}, ${number(kept.loss)} at ${name}), but ${name} is kept for its better ${metric}: the loss also counts how sure wrong answers are`;
}
