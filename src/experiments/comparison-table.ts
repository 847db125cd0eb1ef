import type { ComparedRun } from "./compare.ts";

/** Mean and sample standard deviation over seeds; a single value has no deviation. */
export interface Spread {
  mean: number;
  deviation?: number;
  count: number;
}

/** One method (and rank) over all tasks. */
export interface ComparisonRow {
  method: string;
  rank?: number;
  /** By task and metric, in Hugging Face's names and scale. */
  scores: Record<string, Record<string, Spread>>;
  /** Mean of the tasks' scores; absent where a task is missing. */
  average?: Spread;
  /** Trainable parameters, averaged over training and runs; head not counted. */
  trainable: number;
  /** Mean over tasks of the median step. */
  secondsPerStep: number;
  /** Highest of all runs, bytes. */
  peakMemory: number;
  /** Spent in training, relative to ELoRA on the same task, mean over tasks; absent where ELoRA did not run. */
  flopsToElora?: number;
}

/** Mean ± standard deviation over seeds, average over tasks, and costs, one row for each method and rank. */
export function comparisonTable(runs: readonly ComparedRun[]): ComparisonRow[] {
  const tasks = [...grouped(runs, ({ task }) => task).keys()];
  const elora = runs.filter(({ method }) => method === "elora");
  // Of several ranks the highest, which is nearest ELoRA as published.
  const highest = Math.max(...elora.map(({ rank }) => rank ?? 0));
  const reference = elora.filter(({ rank }) => (rank ?? 0) === highest);
  const flopsOn = (of: readonly ComparedRun[], task: string): number | undefined => {
    const here = of.filter((run) => run.task === task);
    return here.length > 0 ? mean(here.map(({ result }) => result.flops)) : undefined;
  };
  return [...grouped(runs, ({ method, rank }) => `${method} ${rank ?? ""}`).values()].map((of) => {
    const { method, rank } = of[0]!;
    const byTask = grouped(of, ({ task }) => task);
    const scores = Object.fromEntries(
      [...byTask].map(([task, ofTask]) => {
        const metrics = Object.keys(ofTask[0]!.result.metrics);
        return [
          task,
          Object.fromEntries(metrics.map((name) => [name, spread(ofTask.map(({ result }) => result.metrics[name]!))])),
        ];
      }),
    );
    const complete = [...grouped(of, ({ seed }) => seed).values()].filter((ofSeed) => ofSeed.length === tasks.length);
    const ratios = [...byTask.keys()].flatMap((task) => {
      const base = flopsOn(reference, task);
      return base === undefined ? [] : flopsOn(of, task)! / base;
    });
    const overTasks = (value: (run: ComparedRun) => number): number =>
      mean([...byTask.values()].map((ofTask) => mean(ofTask.map(value))));
    return {
      method,
      ...(rank !== undefined && { rank }),
      scores,
      ...(complete.length > 0 && { average: spread(complete.map((ofSeed) => mean(ofSeed.map(taskScore)))) }),
      trainable: overTasks(({ result }) => result.trainable.average),
      secondsPerStep: overTasks(({ result }) => result.secondsPerStep),
      peakMemory: Math.max(...of.map(({ result }) => result.peakMemory)),
      ...(ratios.length > 0 && { flopsToElora: mean(ratios) }),
    };
  });
}

/**
 * A task's one number in the average: of MNLI and QQP the mean of their pair, of MRPC accuracy (F1 only picks its best
 * epoch), of every other task its first metric.
 */
export function taskScore({ task, result: { metrics } }: ComparedRun): number {
  const values = Object.values(metrics);
  if (task === "mnli" || task === "qqp") return mean(values);
  return task === "mrpc" ? metrics.accuracy! : values[0]!;
}

function spread(values: readonly number[]): Spread {
  const middle = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - middle) ** 2, 0);
  return {
    mean: middle,
    ...(values.length > 1 && { deviation: Math.sqrt(squares / (values.length - 1)) }),
    count: values.length,
  };
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

function grouped<T, K>(values: readonly T[], key: (value: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const value of values) groups.set(key(value), [...(groups.get(key(value)) ?? []), value]);
  return groups;
}
