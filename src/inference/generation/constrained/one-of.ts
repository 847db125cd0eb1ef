import { isOfType, refused, resolvePointer, type Schema, TYPES } from "./schema-values.ts";
import type { Sliced } from "./slices.ts";

/** Schemas of one `oneOf`, as each is compared with all others. */
const MOST_OPTIONS = 64;
/** How far `$ref`s and `anyOf` are followed. */
const DEEPEST = 8;

/** Options are told apart by these. */
interface Told {
  readonly types: readonly string[];
  /** The values that an option names, as JSON. */
  readonly values: ReadonlySet<string> | undefined;
  /** Of an object the properties that it needs and whose values it names. */
  readonly properties: ReadonlyMap<string, ReadonlySet<string>>;
}

/**
 * Exactly one schema of `oneOf` may hold: that is so if no two allow the same type or the same values, or if they name different
 * values of a property that both need.
 * @throws UserError if two may hold at once.
 */
export function* refuseOverlap(options: readonly unknown[], document: unknown, path: string): Sliced<void> {
  if (options.length > MOST_OPTIONS) throw refused(path, `has more than ${MOST_OPTIONS} schemas; write anyOf`);
  const all: (Told | undefined)[] = [];
  for (const option of options) {
    all.push(toldOf(resolved(option, document, path), document, path));
    yield;
  }
  for (const [i, a] of all.entries()) {
    for (const b of all.slice(i + 1)) {
      yield;
      if (a && b && areApart(a, b)) continue;
      throw refused(path, "has schemas that may hold at once; name different values of one property, or write anyOf");
    }
  }
}

function areApart(a: Told, b: Told): boolean {
  if (!a.types.some((type) => b.types.includes(type))) return true;
  if (areDistinct(a.values, b.values)) return true;
  return [...a.properties].some(([name, values]) => areDistinct(values, b.properties.get(name)));
}

const areDistinct = (a: ReadonlySet<string> | undefined, b: ReadonlySet<string> | undefined): boolean =>
  a !== undefined && b !== undefined && ![...a].some((value) => b.has(value));

/** What a schema says itself, after its `$ref`s; nothing if it is none that can be told apart. */
function resolved(schema: unknown, document: unknown, path: string, left = DEEPEST): Schema | undefined {
  if (!isOfType(schema, "object") || left === 0) return undefined;
  const { $ref: pointer } = schema as Schema;
  if (typeof pointer !== "string") return schema as Schema;
  return resolved(resolvePointer(document, pointer, path), document, path, left - 1);
}

function toldOf(schema: Schema | undefined, document: unknown, path: string): Told | undefined {
  if (!schema) return undefined;
  const values = valuesOf(schema);
  return {
    types: typesOf(schema, values),
    values: values && asJson(values),
    properties: propertiesOf(schema, document, path),
  };
}

/** The values that a schema names. */
function valuesOf(schema: Schema | undefined): readonly unknown[] | undefined {
  const values = schema?.const !== undefined ? [schema.const] : schema?.enum;
  if (!Array.isArray(values)) return undefined;
  return schema?.nullable === true ? [...values, null] : values;
}

/** Values as JSON; objects that differ in the order of their keys are the same. */
function asJson(values: readonly unknown[]): ReadonlySet<string> {
  const sorted = (_: string, value: unknown): unknown =>
    isOfType(value, "object")
      ? Object.fromEntries(Object.entries(value as Schema).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value;
  return new Set(values.map((value) => JSON.stringify(value, sorted)));
}

/** Numbers are integers, too. */
function typesOf(schema: Schema, values: readonly unknown[] | undefined): readonly string[] {
  if (values) return TYPES.filter((type) => values.some((value) => isOfType(value, type)));
  const types = [schema.type ?? TYPES].flat().map(String);
  const all = schema.nullable === true ? [...types, "null"] : types;
  return all.includes("number") ? [...all, "integer"] : all.includes("integer") ? [...all, "number"] : all;
}

function propertiesOf(schema: Schema, document: unknown, path: string): ReadonlyMap<string, ReadonlySet<string>> {
  const found = new Map<string, ReadonlySet<string>>();
  const { properties, required } = schema;
  if (schema.type !== "object" || schema.nullable === true || !isOfType(properties, "object")) return found;
  for (const name of Array.isArray(required) ? new Set(required) : []) {
    if (typeof name !== "string" || !Object.hasOwn(properties as Schema, name)) continue;
    const values = valuesOf(resolved((properties as Schema)[name], document, path));
    if (values) found.set(name, asJson(values));
  }
  return found;
}
