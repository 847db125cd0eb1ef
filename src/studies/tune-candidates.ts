import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import { findMethod, TUNED_METHODS } from "../methods/methods.ts";
import { flatOptions, optionOfRun, type RunConfig, resolveConfig } from "../runs/run-config.ts";
import { type Choice, shown } from "./factors.ts";

/** What is drawn: names as options have them. */
export const DRAWN = [
  "method",
  "learningRate",
  "headLearningRate",
  "rank",
  "batchSize",
  "maxGradNorm",
  "epochs",
] as const;
const RANKS = [4, 8, 16];
const NORMS = [0.1, 1];
/** Learning rates go from half a decade below the recipe's to a decade above. */
const DECADES: readonly [from: number, to: number] = [-0.5, 1];

/**
 * Settings to try beside the defaults, drawn at random, the same each time.
 * @param base options of the defaults, whose own settings these take the place of
 * @param defaults the same, resolved
 * @param given by the user, and stays as it is
 * @param batches sizes to draw from
 */
export function candidates(
  count: number,
  base: Readonly<Record<string, unknown>>,
  defaults: RunConfig,
  given: Readonly<Record<string, unknown>>,
  batches: readonly number[],
): Choice[] {
  const random = xoroshiro128plus(0);
  return Array.from({ length: count }, () => candidate(random, base, defaults, given, batches));
}

function candidate(
  random: RandomGenerator,
  base: Readonly<Record<string, unknown>>,
  { run }: RunConfig,
  given: Readonly<Record<string, unknown>>,
  batches: readonly number[],
): Choice {
  const one = <T>(of: readonly T[]): T => of[uniformInt(random, 0, of.length - 1)]!;
  const { name: method } = one(TUNED_METHODS);
  const decades = DECADES[0] + (DECADES[1] - DECADES[0]) * uniformFloat64(random);
  const drawn = {
    method,
    rank: one(RANKS),
    batchSize: one(batches),
    maxGradNorm: one(NORMS),
    epochs: one([run.epochs, Math.ceil(run.epochs / 2)]),
  };
  const definition = findMethod(String(given.method ?? method));
  const isOwn = (name: string): boolean => optionOfRun(name) !== undefined || name in definition.options.shape;
  const free = Object.entries(drawn).filter(([name]) => !(name in given));
  const options = Object.fromEntries([...Object.entries(base), ...free].filter(([name]) => isOwn(name)));
  const configOf = (of: Readonly<Record<string, unknown>>): RunConfig =>
    resolveConfig({ ...withoutValidation(of), validationSplit: run.validationSplit });
  const recipe = configOf(options).run;
  const rates = Object.fromEntries(
    (["learningRate", "headLearningRate"] as const)
      .filter((name) => !(name in given))
      .map((name) => [name, Number((recipe[name] * 10 ** decades).toPrecision(2))]),
  );
  const all = { ...options, ...rates };
  return { values: valuesOf(configOf(all), given), options: all };
}

/** What a run has of what is drawn, as it is shown. */
export function valuesOf(config: RunConfig, given: Readonly<Record<string, unknown>>): Record<string, string> {
  const all = flatOptions(config);
  return Object.fromEntries(
    DRAWN.flatMap((name) => (name in given || all[name] === undefined ? [] : [[name, shown(all[name])]])),
  );
}

/** Options of a run that holds out validation examples of its own. */
export function withoutValidation({
  validation: _,
  ...others
}: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return others;
}
