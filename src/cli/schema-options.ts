import { type Command, Option } from "commander";
import { z } from "zod";
import { UserError } from "../errors.ts";
import { METHODS } from "../methods/methods.ts";
import { runOptions } from "../preparation/run-options-node.ts";
import { decimalNumber } from "../tasks/decimal-number.ts";
import { TASK_KINDS } from "../tasks/task-kinds.ts";
import { kebabCase } from "./help.ts";

/** The parts of an option's JSON schema that a flag needs. */
interface Property {
  type?: string;
  enum?: unknown[];
  const?: unknown;
  default?: unknown;
  description?: string;
  /** Mark of `repeatsPapers` in methods/published.ts. */
  repeatsPapers?: boolean;
  /** Alternatives of a switch that also takes a word. */
  anyOf?: Property[];
}

type Properties = Readonly<Record<string, Property>>;

/** Cache: a method's schema is used twice, a run's for each heading. */
const known = new WeakMap<z.ZodObject, Properties>();

function propertiesOf(schema: z.ZodObject): Properties {
  const seen = known.get(schema);
  if (seen) return seen;
  const { properties } = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as { properties: Properties };
  known.set(schema, properties);
  return properties;
}

/**
 * Adds a flag for each option of a schema, under a heading. If the command has a flag already, adds this default to its description.
 * @param except names of options that the command does not take
 * @param names of the options under the heading, in order
 */
export function addSchemaOptions(
  command: Command,
  schema: z.ZodObject,
  heading: string,
  except: readonly string[] = [],
  names: readonly string[] = Object.keys(schema.shape),
): void {
  const all = propertiesOf(schema);
  const properties = names
    .filter((name) => !all[name]!.repeatsPapers && !except.includes(name))
    .map((name) => [name, all[name]!] as const);
  const taken = new Set(command.options.map((option) => option.attributeName()));
  const shared = properties
    .filter(([name]) => taken.has(name))
    .map(([name, { default: value }]) => `--${kebabCase(name)}${value === undefined ? "" : ` (${value})`}`);
  const group = shared.length === 0 ? `${heading}:` : `${heading}:\n${inLines(`(also ${shared.join(", ")})`)}`;
  for (const [name, property] of properties) {
    if (taken.has(name)) continue;
    for (const flag of flagsFor(name, property)) command.addOption(flag.helpGroup(group));
  }
}

/** Headings of a run's options in help, in order. Other options are under Training. */
const HEADINGS: Readonly<Record<string, readonly string[]>> = {
  Data: [
    ...["train", "validation", "dataset", "datasetConfig", "task", "data", "text", "textPair", "label", "kind"],
    ...["validationSplit", "maxTrainSamples"],
  ],
  "Model and method": ["model", "revision", "offline", "adapter", "method", "base"],
  Training: [],
  "Memory and speed": ["device", "threads", "tokenBudget", "recompute"],
  "Freezing whole blocks": Object.keys(runOptions.shape).filter((name) => name.startsWith("freezeBlocks")),
  "Run folder": ["output", "checkpointEvery", "log"],
};

/** Adds the options of a run, and those of all kinds of task and methods. @param except as in `addSchemaOptions` */
export function addRunOptions(command: Command, except: readonly string[] = []): void {
  const headed = Object.values(HEADINGS).flat();
  const others = Object.keys(runOptions.shape).filter((name) => !headed.includes(name));
  for (const [heading, names] of Object.entries(HEADINGS)) {
    addSchemaOptions(command, runOptions, heading, except, heading === "Training" ? others : names);
  }
  const kinds = TASK_KINDS.all;
  for (const options of new Set(kinds.flatMap((kind) => kind.options ?? []))) {
    const names = kinds.filter((kind) => kind.options === options).map(({ name }) => name);
    addSchemaOptions(command, options, `Task kind ${names.join(", ")}`, except);
  }
  addMethodOptions(command, except);
  addPaperOptions(command, [runOptions, ...METHODS.all.map(({ options }) => options)], except);
}

/** Adds the options of every method, under its name. */
export function addMethodOptions(command: Command, except: readonly string[] = []): void {
  for (const { name, summary, options } of METHODS.all) {
    addSchemaOptions(command, options, `Method ${name}: ${summary}`, except);
  }
}

/** Adds options that only reproduce published settings, each with the methods that have it. */
export function addPaperOptions(
  command: Command,
  schemas: readonly z.ZodObject[] = METHODS.all.map(({ options }) => options),
  except: readonly string[] = [],
): void {
  for (const schema of schemas) {
    for (const [name, property] of Object.entries(propertiesOf(schema))) {
      const taken = command.options.some((option) => option.attributeName() === name);
      if (!property.repeatsPapers || taken || except.includes(name)) continue;
      const owners = METHODS.ownersOf(name);
      const description = `${property.description}${owners.length > 0 ? ` (${owners.join(", ")})` : ""}`;
      for (const flag of flagsFor(name, { ...property, description })) {
        command.addOption(flag.helpGroup("To reproduce published results:"));
      }
    }
  }
}

/** Indents flags, and wraps them into lines short enough for help. */
const inLines = (flags: string): string => flags.replace(/(.{1,90})(,|$) ?/g, "  $1$2\n").trimEnd();

/** Flags of an option. A switch has two; help shows the one that changes the default. */
function flagsFor(
  name: string,
  { type, enum: choices, const: only, default: value, description = "", anyOf = [] }: Property,
): Option[] {
  const flag = kebabCase(name);
  if (anyOf.some((each) => each.type === "boolean")) {
    const words = anyOf.flatMap((each) => each.const ?? []).join("|");
    return [new Option(`--${flag} [${words}]`, description).preset(true)];
  }
  if (type === "boolean") {
    const on = new Option(`--${flag}`, description);
    const off = new Option(`--no-${flag}`, `no ${description}`);
    return value === true ? [on.hideHelp(), off] : [on, off.hideHelp()];
  }
  if (anyOf.some((each) => each.type === "integer")) {
    const words = anyOf.flatMap((each) => (each.const === undefined ? [] : [String(each.const)]));
    return [numberOption(`--${flag} <${["n", ...words].join("|")}>`, description, words)];
  }
  const allowed = choices ?? (only === undefined ? undefined : [only]);
  const isNumber = type === "number" || type === "integer";
  const what = allowed ? "choice" : isNumber ? "n" : "value";
  const facts = [...(allowed ? [allowed.join(", ")] : []), ...(value === undefined ? [] : [`default: ${value}`])].join(
    "; ",
  );
  const given = [`--${flag} <${what}>`, facts ? `${description} (${facts})` : description] as const;
  return [isNumber ? numberOption(...given) : new Option(...given)];
}

/** An option whose value is a number, or one of some words. Other values throw a UserError that names the flag. */
export function numberOption(flags: string, description: string, words: readonly string[] = []): Option {
  const option = new Option(flags, description);
  return option.argParser((text) => {
    if (words.includes(text)) return text;
    const value = decimalNumber(text);
    if (Number.isNaN(value))
      throw new UserError(`${option.long} must be ${["a number", ...words].join(" or ")}, not "${text}"`);
    return value;
  });
}

/** Flags that were given, by option name. Commander reports `--no-x` flags as true even if they were not given. */
export function givenOptions<Options extends object = Record<string, unknown>>(command: Command): Options {
  const given = Object.entries(command.opts()).filter(([name]) => command.getOptionValueSource(name) === "cli");
  return Object.fromEntries(given) as Options;
}
