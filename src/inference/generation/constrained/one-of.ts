import type { Sliced } from "../../../runtime/slices.ts";
import { isOfType, refused, resolvePointer, type Schema, TYPES } from "./schema-values.ts";

const MOST_OPTIONS = 64;
const DEEPEST = 8;
const MOST_COMPARED = 1e6;

interface Told {
  readonly types: readonly string[];
  readonly values: ReadonlySet<string> | undefined;
  readonly properties: ReadonlyMap<string, ReadonlySet<string>>;
}

type Use = (count: number) => void;

/**
 * Checks `oneOf`, of which exactly one schema may match: no two may allow the same type or the same values, unless they name different
 * values of a property that both require.
 */
export function* refuseOverlap(options: readonly unknown[], document: unknown, path: string): Sliced<void> {
  if (options.length > MOST_OPTIONS) throw refused(path, `has more than ${MOST_OPTIONS} schemas; write anyOf`);
  let used = 0;
  const use: Use = (count) => {
    used += count;
    if (used > MOST_COMPARED) throw refused(path, "has too many values to compare; write anyOf");
  };
  const all: (Told | undefined)[] = [];
  for (const option of options) all.push(yield* toldOf(resolved(option, document, path), document, path, use));
  for (const [i, a] of all.entries()) {
    for (const b of all.slice(i + 1)) {
      yield;
      if (a && b && areApart(a, b, use)) continue;
      throw refused(
        path,
        "has schemas that one value can match together; name different values of one property, or write anyOf",
      );
    }
  }
}

function areApart(a: Told, b: Told, use: Use): boolean {
  if (!a.types.some((type) => b.types.includes(type))) return true;
  if (areDistinct(a.values, b.values, use)) return true;
  return [...a.properties].some(([name, values]) => areDistinct(values, b.properties.get(name), use));
}

function areDistinct(a: ReadonlySet<string> | undefined, b: ReadonlySet<string> | undefined, use: Use): boolean {
  use(1 + (a?.size ?? 0));
  return a !== undefined && b !== undefined && ![...a].some((value) => b.has(value));
}

function resolved(schema: unknown, document: unknown, path: string, left = DEEPEST): Schema | undefined {
  if (!isOfType(schema, "object") || left === 0) return undefined;
  const { $ref: pointer } = schema as Schema;
  if (typeof pointer !== "string") return schema as Schema;
  return resolved(resolvePointer(document, pointer, path), document, path, left - 1);
}

function* toldOf(schema: Schema | undefined, document: unknown, path: string, use: Use): Sliced<Told | undefined> {
  if (!schema) return undefined;
  const values = valuesOf(schema);
  return {
    types: typesOf(schema, values),
    values: values && (yield* asJson(values, use)),
    properties: yield* propertiesOf(schema, document, path, use),
  };
}

function valuesOf(schema: Schema | undefined): readonly unknown[] | undefined {
  const values = schema?.const !== undefined ? [schema.const] : schema?.enum;
  if (!Array.isArray(values)) return undefined;
  return schema?.nullable === true ? [...values, null] : values;
}

/** Values as JSON; objects that differ in the order of their keys are the same. */
function* asJson(values: readonly unknown[], use: Use): Sliced<ReadonlySet<string>> {
  const sorted = (_: string, value: unknown): unknown =>
    isOfType(value, "object")
      ? Object.fromEntries(Object.entries(value as Schema).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value;
  const all = new Set<string>();
  for (const value of values) {
    const json = JSON.stringify(value, sorted);
    use(json.length);
    all.add(json);
    yield;
  }
  return all;
}

/** Numbers are integers, too. */
function typesOf(schema: Schema, values: readonly unknown[] | undefined): readonly string[] {
  if (values) return TYPES.filter((type) => values.some((value) => isOfType(value, type)));
  const types = [schema.type ?? TYPES].flat().map(String);
  const all = schema.nullable === true ? [...types, "null"] : types;
  return all.includes("number") ? [...all, "integer"] : all.includes("integer") ? [...all, "number"] : all;
}

function* propertiesOf(
  schema: Schema,
  document: unknown,
  path: string,
  use: Use,
): Sliced<ReadonlyMap<string, ReadonlySet<string>>> {
  const found = new Map<string, ReadonlySet<string>>();
  const { properties, required } = schema;
  if (schema.type !== "object" || schema.nullable === true || !isOfType(properties, "object")) return found;
  for (const name of Array.isArray(required) ? new Set(required) : []) {
    if (typeof name !== "string" || !Object.hasOwn(properties as Schema, name)) continue;
    const values = valuesOf(resolved((properties as Schema)[name], document, path));
    if (values) found.set(name, yield* asJson(values, use));
    yield;
  }
  return found;
}
