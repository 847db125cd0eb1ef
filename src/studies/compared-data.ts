import type { FinishedRun } from "../runs/read-run.ts";
import { dataIdentity, type ScoredData, scoredData } from "../runs/run-data.ts";
import { grouped } from "./statistics.ts";

/** A run under the name of its setting: runs of one label and task differ in their seed alone. */
export interface LabelledRun {
  label: string;
  run: FinishedRun;
}

/** A run and what its scores are of: its task's name, numbered where runs of that task had several data or splits of them. */
export interface ComparedRun extends LabelledRun {
  task: string;
}

/**
 * Tells runs of one task on other data, or on another split of them, apart: `rte 1`, `rte 2`. Where a run's seed draws its
 * validation examples, settings share a task only if they had the same draws.
 */
export function withTasks(runs: readonly LabelledRun[]): ComparedRun[] {
  const known = runs.map((run) => {
    const { examples, draw } = dataIdentity(run.run);
    const task = run.run.result.task;
    return { run, task, examples, draw, setting: JSON.stringify([task, run.label, examples]) };
  });
  const drawsOf = new Map(
    [...grouped(known, ({ setting }) => setting)].map(([setting, of]) => [
      setting,
      [...new Set(of.map(({ draw }) => draw))].sort(),
    ]),
  );
  const subjectOf = ({ examples, setting }: { examples: string; setting: string }) =>
    JSON.stringify([examples, drawsOf.get(setting)]);
  const subjects = new Map(
    [...grouped(known, ({ task }) => task)].map(([task, of]) => [task, [...new Set(of.map(subjectOf))]]),
  );
  return known.map(({ run, ...of }) => {
    const ofTask = subjects.get(of.task)!;
    return { ...run, task: ofTask.length === 1 ? of.task : `${of.task} ${ofTask.indexOf(subjectOf(of)) + 1}` };
  });
}

/** What each task's scores were measured on; no two have one name. */
export function dataByTask(byTask: ReadonlyMap<string, readonly ComparedRun[]>): Record<string, ScoredData> {
  const data = [...byTask].map(([task, of]) => ({ task, ...scoredData(of.map(({ run }) => run)) }));
  const byName = grouped(data, ({ name }) => name);
  return Object.fromEntries(
    data.map(({ task, ...of }) => {
      const alike = byName.get(of.name)!.map((each) => each.task);
      return [task, { ...of, name: alike.length === 1 ? of.name : `${of.name} (${alike.indexOf(task) + 1})` }];
    }),
  );
}
