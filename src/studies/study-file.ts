import { z } from "zod";
import { didYouMean, inWords, UserError } from "../errors.ts";
import { DEFAULT_METHOD } from "../methods/methods.ts";
import { type Factor, optionNames, parseFactor } from "./factors.ts";

const count = z.int().positive();
const seed = z
  .int()
  .min(0)
  .max(2 ** 32 - 1);

/** What a study file holds; every key is described in docs/studies.md. */
const studySchema = z.strictObject({
  title: z.string().min(1).optional(),
  about: z.string().min(1).optional(),
  options: z.record(z.string(), z.unknown()).default({}),
  vary: z.record(z.string(), z.unknown()),
  search: z.enum(["grid", "random", "halving"]).default("grid"),
  trials: count.optional(),
  reduction: z.int().min(2).default(3),
  seeds: z.array(seed).min(1).default([42]),
  metric: z.string().min(1).optional(),
  direction: z.enum(["highest", "lowest"]).optional(),
  holdOut: z.number().gt(0).lt(1).default(0.2),
});

/** What to find out, and how. */
export interface Study {
  title: string;
  /** What the study asks, in words. */
  about?: string | undefined;
  /** Options of every trial. */
  options: Readonly<Record<string, unknown>>;
  factors: readonly Factor[];
  /** All combinations, so many draws, or successive halving over epochs of either. */
  search: "grid" | "random" | "halving";
  /** Draws of `random`, and of `halving` where it does not begin with all combinations. */
  trials?: number | undefined;
  /** At each rung of `halving` one in so many goes on. */
  reduction: number;
  seeds: readonly number[];
  /** By which configurations are chosen; each task's first one where absent. */
  metric?: string | undefined;
  /** Which of its values is the best; as the metric's kind of task says where absent. */
  direction?: "highest" | "lowest" | undefined;
  /** Share of the training examples on which epochs and configurations are chosen. */
  holdOut: number;
}

/**
 * Reads a study as its file has it, keys in camel case.
 * @param title where the study has none
 * @throws UserError naming the key or factor that is unknown, missing or malformed.
 */
export function parseStudy(given: Readonly<Record<string, unknown>>, title: string): Study {
  const known = Object.keys(studySchema.shape);
  const unknown = Object.keys(given).find((key) => !known.includes(key));
  if (unknown !== undefined) {
    const hint = optionNames().includes(unknown)
      ? `; it is an option of runs: put it under "options", or under "vary"`
      : didYouMean(unknown, known);
    throw new UserError(`a study has no "${unknown}"${hint} (keys: ${known.join(", ")})`);
  }
  const parsed = studySchema.safeParse(given, { error: inWords });
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new UserError(`the study's "${issue!.path.join(".")}": ${issue!.message}`);
  }
  const { vary, options, seeds, trials, search, title: own, ...rest } = parsed.data;
  const factors = Object.entries(vary).map(([name, of]) => parseFactor(name, of));
  if (factors.length === 0)
    throw new UserError('nothing varies: name at least one factor under "vary", or with --vary');
  if (search === "random" && trials === undefined) {
    throw new UserError('how many trials is a random search to draw? Give "trials"');
  }
  if (search === "grid" && trials !== undefined) {
    throw new UserError(
      'a grid goes through all combinations, so that "trials" means nothing; leave it out, or search by random',
    );
  }
  for (const key of ["seed", "validationSplit"]) {
    if (key in options) {
      throw new UserError(`the study sets ${key} itself: give ${key === "seed" ? "seeds" : "holdOut"} in its place`);
    }
  }
  for (const name of Object.keys(options)) {
    if (optionNames().includes(name)) continue;
    throw new UserError(`unknown option "${name}" of the study${didYouMean(name, optionNames())}`);
  }
  return {
    title: own ?? title,
    ...rest,
    search,
    trials,
    options: { method: DEFAULT_METHOD.name, ...options },
    factors,
    seeds: [...new Set(seeds)],
  };
}
