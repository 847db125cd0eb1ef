import { UserError } from "../errors.ts";
import { findMethod } from "../methods/methods.ts";
import { glueTaskName } from "../tasks/glue.ts";
import { learningRates } from "./search/learning-rates.ts";
import type { Study } from "./study.ts";
import { parseStudy } from "./study-file.ts";

/** What to compare. */
export interface ComparisonOptions {
  methods: readonly string[];
  /** Published tasks; none where `options` name the user's own examples. */
  tasks?: readonly string[] | undefined;
  /** Ranks for every method that has one; each method's own default where empty. */
  ranks?: readonly number[] | undefined;
  seeds?: readonly number[] | undefined;
  /** Learning rates of each task, method and rank that are tried before its runs; none where absent. */
  trials?: number | undefined;
  /** As a study's; 0 where absent, as published tables have it. */
  holdOut?: number | undefined;
  metric?: string | undefined;
  /** As a study's. */
  generate?: number | undefined;
  /** Options of every run, and of methods: those go to each method that has them. */
  options: Readonly<Record<string, unknown>>;
}

/**
 * The study over task × method × rank × seed.
 * @throws UserError where a method or an option is unknown, or there is nothing to compare
 */
export function comparison({
  methods,
  tasks = [],
  ranks = [],
  trials,
  holdOut = 0,
  ...others
}: ComparisonOptions): Study {
  if (methods.length === 0) throw new UserError("which methods should be compared? Name them with --methods");
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
