import { UserError } from "../errors.ts";
import type { FinishedRun } from "../runs/read-run.ts";
import { flatOptions } from "../runs/run-config.ts";
import { dataIdentity } from "../runs/run-data.ts";
import type { LabelledRun } from "./compared-data.ts";
import { grouped } from "./statistics.ts";

/** Options that say nothing of a setting: what is of one run alone, and the data, by which runs are told apart anyway. */
const NO_SETTING = new Set([
  ...["seed", "output"],
  ...["task", "data", "train", "validation", "validationSplit", "dataset", "datasetConfig"],
]);

/** Names each run by its method, and by those of its options in which it differs from runs of that method on the same data. */
export function labelRuns(runs: readonly FinishedRun[]): LabelledRun[] {
  const known = runs.map((run) => ({ run, method: run.result.method, options: flatOptions(run.config) }));
  const varying = new Map(
    [...grouped(known, ({ method }) => method)].map(([method, ofMethod]) => {
      const options = [...new Set(ofMethod.flatMap(({ options }) => Object.keys(options)))];
      const differs = (of: typeof known, option: string) =>
        new Set(of.map(({ options }) => JSON.stringify(options[option]))).size > 1;
      const data = [...grouped(ofMethod, ({ run }) => dataIdentity(run).examples).values()];
      return [
        method,
        options.filter((option) => !NO_SETTING.has(option) && data.some((ofData) => differs(ofData, option))),
      ];
    }),
  );
  return known.map(({ run, method, options }) => {
    const own = varying.get(method)!.map((option) => `${option} ${text(options[option])}`);
    return { label: [method, ...own].join(", "), run };
  });
}

const text = (value: unknown) => (typeof value === "string" ? value : (JSON.stringify(value) ?? "default"));

/**
 * Checks that the runs have something to compare: a task on which every method ran, and more than one run of it.
 * @throws {UserError} naming the methods and tasks otherwise.
 */
export function checkComparable(runs: readonly FinishedRun[]): void {
  const methods = new Set(runs.map(({ result }) => result.method));
  const tasks = grouped(runs, ({ result }) => result.task);
  const shared = [...tasks.values()].some(
    (of) => of.length > 1 && new Set(of.map(({ result }) => result.method)).size === methods.size,
  );
  if (shared) return;
  const ran = runs.map(({ directory, result }) => `${result.method} on ${result.task} in ${directory}`);
  throw new UserError(
    `these runs can't be compared, for no task was run by all: ${ran.join("; ")}; give runs of the same task`,
  );
}
