import { opt, UserError } from "../errors.ts";
import { findMethod } from "../methods/methods.ts";
import { glueTaskName } from "../tasks/glue.ts";
import { learningRates } from "./search/learning-rates.ts";
import type { Study } from "./study.ts";
import { parseStudy } from "./study-file.ts";

export interface ComparisonOptions {
  methods: readonly string[];
  /** Published tasks; undefined if `options` name the user's data. */
  tasks?: readonly string[] | undefined;
  /** Ranks for every method that has one (default: each method's own). */
  ranks?: readonly number[] | undefined;
  seeds?: readonly number[] | undefined;
  /** Number of learning rates to try for each task, method and rank before its runs (default: none). */
  trials?: number | undefined;
  /** As in a study, but 0 by default, as in published tables. */
  holdOut?: number | undefined;
  metric?: string | undefined;
  generate?: number | undefined;
  /** Options of all runs, and options of methods, which apply to the methods that have them. */
  options: Readonly<Record<string, unknown>>;
}

/**
 * Makes the study over task × method × rank × seed.
 * @throws UserError if a method or an option is unknown, or if there is nothing to compare
 */
export function comparison({
  methods,
  tasks = [],
  ranks = [],
  trials,
  holdOut = 0,
  ...others
}: ComparisonOptions): Study {
  if (methods.length === 0) throw new UserError(`which methods should be compared? Name them with ${opt("methods")}`);
  const definitions = methods.map(findMethod);
  const names = definitions.map(({ name }) => name);
  const ranked = definitions.filter(({ options }) => "rank" in options.shape).map(({ name }) => name);
  const vary = {
    ...(tasks.length > 0 && { task: tasks.map(glueTaskName) }),
    method: names,
    ...(ranks.length > 0 && ranked.length > 0 && { rank: { values: ranks, when: { method: ranked } } }),
  };
  const search = trials === undefined ? {} : { search: learningRates.name, trials };
  return parseStudy({ ...others, ...search, holdOut, vary }, `${inWords(names)} compared`);
}

const inWords = (names: readonly string[]): string => names.join(", ").replace(/, ([^,]*)$/, " and $1");
