import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import { z } from "zod";
import { didYouMean, inWords, opt, UserError } from "../errors.ts";
import { METHODS } from "../methods/methods.ts";
import { MAY_DIFFER, optionOfRun, runOptions } from "../preparation/run-options-node.ts";
import { TASK_KINDS } from "../tasks/task-kinds.ts";

export type Value = string | number | boolean | readonly (string | number)[];

/** One value of a factor: its label, and the options that it sets. */
export interface Level {
  label: string;
  options: Readonly<Record<string, Value>>;
}

export interface Factor {
  name: string;
  /** Levels of a grid; undefined for a range without `steps`, whose values can only be drawn. */
  levels: readonly Level[] | undefined;
  draw(random: RandomGenerator, options: Readonly<Record<string, unknown>>): Level;
  /** The factor applies only if these options have one of these values. */
  when: Readonly<Record<string, readonly Value[]>>;
}

const value = z.union([z.string(), z.number(), z.boolean(), z.array(z.union([z.string(), z.number()]))]);
const condition = z.record(z.string(), z.union([value, z.array(value)])).default({});
const range = z.strictObject({
  from: z.number(),
  to: z.number(),
  scale: z.enum(["linear", "log"]).default("linear"),
  steps: z.int().min(2).max(1000).optional(),
  when: condition,
});
const listed = z.strictObject({ values: z.array(value), when: condition });
const chosen = z.strictObject({
  choices: z.record(z.string(), z.record(z.string(), value)),
  when: condition,
});

const SET_BY_STUDY: Readonly<Record<string, string>> = {
  seed: "give seeds instead",
  validationSplit: "give holdOut instead",
  validation: "it is the same for all trials; give it among the options",
};

export const optionNames = (): string[] => [
  ...new Set([...Object.keys(runOptions.shape), ...TASK_KINDS.optionNames, ...METHODS.optionNames]),
];

/**
 * Parses a factor: `name: [values]`, `name: {values, when}`, `name: {from, to, scale, steps, when}`, or
 * `name: {choices: {label: options}, when}` for options that change together.
 */
export function parseFactor(name: string, given: unknown): Factor {
  const where = `factor "${name}"`;
  const read = <Schema extends z.ZodType>(schema: Schema, of: unknown): z.output<Schema> => {
    const result = schema.safeParse(of, { error: inWords });
    if (result.success) return result.data;
    const [issue] = result.error.issues;
    throw new UserError(`${where}${issue!.path.map((key) => `, ${String(key)}`).join("")}: ${issue!.message}`);
  };
  if (typeof given === "object" && given !== null && "choices" in given) {
    const { choices, when } = read(chosen, given);
    const levels = Object.entries(choices).map(([label, options]) => ({
      label,
      options: withDefinedNames(options, where),
    }));
    return fromLevels(name, levels, conditions(when, where));
  }
  checkName(name, where);
  if (typeof given === "object" && given !== null && ("from" in given || "to" in given)) {
    const { when, ...ends } = read(range, given);
    return fromRange(name, ends, conditions(when, where));
  }
  const { values, when } = read(listed, Array.isArray(given) ? { values: given } : given);
  return fromLevels(
    name,
    values.map((each) => levelOf(name, each)),
    conditions(when, where),
  );
}

function fromLevels(name: string, all: readonly Level[], when: Factor["when"]): Factor {
  if (all.length === 0) throw new UserError(`factor "${name}" has no values; give at least one`);
  const levels = [...new Map(all.map((level) => [level.label, level])).values()];
  return { name, levels, when, draw: (random) => levels[uniformInt(random, 0, levels.length - 1)]! };
}

interface Ends {
  from: number;
  to: number;
  scale: "linear" | "log";
  steps?: number | undefined;
}

function fromRange(name: string, { from, to, scale, steps }: Ends, when: Factor["when"]): Factor {
  if (!(from < to))
    throw new UserError(`factor "${name}": the range from ${from} to ${to} is empty; "from" must be below "to"`);
  if (scale === "log" && from <= 0) {
    throw new UserError(`factor "${name}": a range on a log scale must begin above 0, not at ${from}`);
  }
  const whole = isWhole(name);
  const at = (share: number): Level => {
    const exact = scale === "log" ? from * (to / from) ** share : from + share * (to - from);
    // Rounded for readable tables. The ends stay exact.
    const rounded = whole ? Math.round(exact) : Number(exact.toPrecision(3));
    return levelOf(name, Math.min(to, Math.max(from, rounded)));
  };
  const levels = steps === undefined ? undefined : Array.from({ length: steps }, (_, i) => at(i / (steps - 1)));
  return {
    name,
    levels: levels && [...new Map(levels.map((level) => [level.label, level])).values()],
    when,
    draw: (random) => at(uniformFloat64(random)),
  };
}

export const levelOf = (name: string, given: Value): Level => ({ label: shown(given), options: { [name]: given } });

export const shown = (given: unknown): string => (typeof given === "string" ? given : JSON.stringify(given));

function isWhole(name: string): boolean {
  const schema = METHODS.schemaOf(name) ?? optionOfRun(name);
  return schema !== undefined && z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }).type === "integer";
}

function checkName(name: string, where: string): void {
  if (!optionNames().includes(name)) {
    throw new UserError(`${where}: no option has this name${didYouMean(name, optionNames())}`);
  }
  const instead = SET_BY_STUDY[name];
  if (instead !== undefined) throw new UserError(`${where} can't be varied: ${instead}`);
  if (MAY_DIFFER.includes(name)) {
    throw new UserError(`${where} can't be varied: it changes how a run is computed, not its result`);
  }
}

function withDefinedNames(options: Readonly<Record<string, Value>>, where: string): Readonly<Record<string, Value>> {
  for (const name of Object.keys(options)) checkName(name, `${where}, ${opt(name)}`);
  return options;
}

function conditions(when: Readonly<Record<string, Value | readonly Value[]>>, where: string): Factor["when"] {
  for (const name of Object.keys(when)) {
    if (!optionNames().includes(name)) {
      throw new UserError(
        `${where}: its condition names "${name}", which is not an option${didYouMean(name, optionNames())}`,
      );
    }
  }
  return Object.fromEntries(
    Object.entries(when).map(([name, of]) => [name, Array.isArray(of) ? (of as Value[]) : [of as Value]]),
  );
}

/** Labels of a configuration's levels, by factor. */
export type Values = Readonly<Record<string, string>>;

/** Label such as `rte, lora, rank 4`. Tasks and methods need no prefix. */
export const labelOf = (values: Values): string =>
  Object.entries(values)
    .map(([name, value]) => (name === "task" || name === "method" ? value : `${name} ${value}`))
    .join(", ");

/** Options of runs that differ only in their seed. */
export interface Choice {
  values: Values;
  options: Readonly<Record<string, unknown>>;
}

function takesPart({ when }: Factor, options: Readonly<Record<string, unknown>>): boolean {
  return Object.entries(when).every(([name, allowed]) =>
    allowed.some((each) => JSON.stringify(each) === JSON.stringify(options[name])),
  );
}

/** All combinations of the factors' levels; the last factor changes first. */
export function gridOf(factors: readonly Factor[], options: Readonly<Record<string, unknown>>): Choice[] {
  let choices: Choice[] = [{ values: {}, options }];
  for (const factor of conditionedLast(factors)) {
    const { name, levels } = factor;
    if (!levels) {
      throw new UserError(`factor "${name}": a grid needs a range with steps; give "steps", or use search: random`);
    }
    choices = choices.flatMap((choice) =>
      takesPart(factor, choice.options) ? levels.map((level) => withLevel(choice, name, level)) : [choice],
    );
  }
  checkAllTakePart(factors, choices);
  return choices;
}

/** Checks that each factor applies to some configuration. @param remedy advice if a factor's condition never holds */
export function checkAllTakePart(
  factors: readonly Factor[],
  choices: readonly Choice[],
  remedy = "give that among the options or vary it",
): void {
  const absent = factors.find(({ name }) => !choices.some(({ values }) => name in values));
  if (absent === undefined) return;
  const wanted = Object.entries(absent.when).map(([option, of]) => `${option} ${of.map(shown).join(" or ")}`);
  throw new UserError(
    `factor "${absent.name}" takes part in no configuration: none has ${wanted.join(" and ")}; ${remedy}, or leave the factor out`,
  );
}

export function drawChoice(
  factors: readonly Factor[],
  options: Readonly<Record<string, unknown>>,
  random: RandomGenerator,
): Choice {
  return conditionedLast(factors).reduce<Choice>(
    (choice, factor) => {
      // Drawn in any case, so that the draws of later factors do not depend on whether this one applies.
      const level = factor.draw(random, choice.options);
      return takesPart(factor, choice.options) ? withLevel(choice, factor.name, level) : choice;
    },
    { values: {}, options },
  );
}

const withLevel = ({ values, options }: Choice, name: string, level: Level): Choice => ({
  values: { ...values, [name]: level.label },
  options: { ...options, ...level.options },
});

/** Orders factors so that each condition is about earlier ones. @throws UserError if conditions are circular */
function conditionedLast(factors: readonly Factor[]): Factor[] {
  const left = factors.toSorted((a, b) => Object.keys(a.when).length - Object.keys(b.when).length);
  const waits = (factor: Factor): boolean =>
    Object.keys(factor.when).some((option) => left.some((other) => other !== factor && sets(other, option)));
  return factors.map(() => {
    const next = left.findIndex((factor) => !waits(factor));
    if (next < 0) {
      const names = left.map(({ name }) => `"${name}"`).join(", ");
      throw new UserError(`the conditions of factors ${names} depend on each other in a circle; leave one of them out`);
    }
    return left.splice(next, 1)[0]!;
  });
}

const sets = ({ name, levels }: Factor, option: string): boolean =>
  name === option || (levels ?? []).some(({ options }) => option in options);
