import { z } from "zod";
import { didYouMean, inWords, opt, UserError } from "../errors.ts";
import { optionNames, parseFactor } from "./factors.ts";
import { SEARCH_ALGORITHMS } from "./search/algorithms.ts";
import type { Study } from "./study.ts";
import { withMethod } from "./trial-options.ts";

const seed = z
  .int()
  .min(0)
  .max(2 ** 32 - 1);

/** Keys of a study file; docs/studies.md describes each. */
const studySchema = z.object({
  title: z.string().min(1).optional(),
  about: z.string().min(1).optional(),
  options: z.record(z.string(), z.unknown()).default({}),
  vary: z.record(z.string(), z.unknown()),
  search: z.string().default(SEARCH_ALGORITHMS.all[0]!.name),
  seeds: z.array(seed).min(1).default([42]),
  metric: z.string().min(1).optional(),
  direction: z.enum(["highest", "lowest"]).optional(),
  holdOut: z.number().min(0).lt(1).default(0.2),
  generate: z.int().min(1).optional(),
  estimate: z
    .strictObject({
      model: z.string().min(1),
      data: z.record(
        z.string(),
        z.strictObject({
          rows: z.int().positive(),
          scored: z.int().min(0),
          tokens: z.int().positive(),
          answer: z.int().positive().optional(),
        }),
      ),
      speeds: z.record(z.string(), z.number().positive()),
    })
    .optional(),
});

export const searchKeys = (): string[] => [
  ...new Set(SEARCH_ALGORITHMS.all.flatMap(({ options }) => Object.keys(options.shape))),
];

/**
 * Parses a study from its file's contents, with keys in camel case.
 * @param title default title
 * @throws UserError naming the key or factor that is unknown, missing or malformed
 */
export function parseStudy(given: Readonly<Record<string, unknown>>, title: string): Study {
  const known = [...Object.keys(studySchema.shape), ...searchKeys()];
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
  const { vary, options, seeds, search, title: own, ...rest } = parsed.data;
  const factors = Object.entries(vary).map(([name, of]) => parseFactor(name, of));
  if (factors.length === 0)
    throw new UserError(`nothing varies: name at least one factor under "vary", or with ${opt("vary")}`);
  for (const key of ["seed", "validationSplit"]) {
    if (key in options) {
      throw new UserError(`the study sets ${key} itself: give ${key === "seed" ? "seeds" : "holdOut"} instead`);
    }
  }
  for (const name of Object.keys(options)) {
    if (optionNames().includes(name)) continue;
    throw new UserError(`unknown ${opt(name)} of the study${didYouMean(name, optionNames())}`);
  }
  return {
    title: own ?? title,
    ...rest,
    search: searchOf(search, given),
    options: withMethod(options),
    factors,
    seeds: [...new Set(seeds)],
  };
}

function searchOf(name: string, study: Readonly<Record<string, unknown>>): Study["search"] {
  const algorithm = SEARCH_ALGORITHMS.find(name);
  const given = Object.fromEntries(Object.entries(study).filter(([key]) => searchKeys().includes(key)));
  return { algorithm, options: SEARCH_ALGORITHMS.parseOptions(algorithm, given) };
}
