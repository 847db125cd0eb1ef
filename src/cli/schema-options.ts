import { type Command, Option } from "commander";
import { z } from "zod";
import { UserError } from "../errors.ts";

/** What a flag needs to know of an option's schema. */
interface Property {
  type?: string;
  enum?: unknown[];
  const?: unknown;
  default?: unknown;
  description?: string;
}

/** `learningRate` → `learning-rate` */
const kebab = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** Adds a flag for each option of a schema, under a heading; names taken already are left alone. */
export function addSchemaOptions(command: Command, schema: z.ZodObject, heading: string): void {
  const { properties } = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as {
    properties: Record<string, Property>;
  };
  for (const [name, property] of Object.entries(properties)) {
    if (command.options.some((option) => option.attributeName() === name)) continue;
    command.addOption(flagFor(name, property).helpGroup(heading));
  }
}

function flagFor(
  name: string,
  { type, enum: choices, const: only, default: value, description = "" }: Property,
): Option {
  const shown = value === undefined ? description : `${description} (default: ${value})`;
  if (type === "boolean") return new Option(`--${value === true ? "no-" : ""}${kebab(name)}`, shown);
  const allowed = choices ?? (only === undefined ? undefined : [only]);
  const what = allowed ? allowed.join("|") : type === "number" || type === "integer" ? "n" : "value";
  const option = new Option(`--${kebab(name)} <${what}>`, shown);
  return type === "number" || type === "integer" ? option.argParser((text) => parseNumber(name, text)) : option;
}

function parseNumber(name: string, text: string): number {
  const value = Number(text);
  if (text.trim() === "" || Number.isNaN(value)) {
    throw new UserError(`--${kebab(name)} must be a number, not "${text}"`);
  }
  return value;
}

/**
 * Flags that were really given, by option name: commander reports `--no-x` flags as true where they were not.
 */
export function givenOptions<Options extends object = Record<string, unknown>>(command: Command): Options {
  const given = Object.entries(command.opts()).filter(([name]) => command.getOptionValueSource(name) === "cli");
  return Object.fromEntries(given) as Options;
}
