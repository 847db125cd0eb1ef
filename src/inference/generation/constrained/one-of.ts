import { isOfType, refused, resolvePointer, type Schema, TYPES } from "./schema-values.ts";

/** Schemas of one `oneOf`, as each is compared with all others. */
const MOST_OPTIONS = 64;
/** How far `$ref`s and `anyOf` are followed. */
const DEEPEST = 8;

/**
 * Of `oneOf` exactly one schema may hold: that is so where no two allow the same type, or where they name different values of a
 * property that both need.
 * @throws UserError where two may hold at once.
 */
export function refuseOverlap(options: readonly unknown[], document: unknown, path: string): void {
  if (options.length > MOST_OPTIONS) throw refused(path, `has more than ${MOST_OPTIONS} schemas; write anyOf`);
  const all = options.map((option) => resolved(option, document, path));
  for (const [i, a] of all.entries()) {
    for (const b of all.slice(i + 1)) {
      if (a && b && (apartByType(a, b) || apartByProperty(a, b, document, path) || apartByValue(a, b))) continue;
      throw refused(path, "has schemas that may hold at once; name different values of one property, or write anyOf");
    }
  }
}

/** What a schema says itself, after its `$ref`s; nothing where it is none that can be told apart. */
function resolved(schema: unknown, document: unknown, path: string, left = DEEPEST): Schema | undefined {
  if (!isOfType(schema, "object") || left === 0) return undefined;
  const { $ref: pointer } = schema as Schema;
  if (typeof pointer !== "string") return schema as Schema;
  return resolved(resolvePointer(document, pointer, path), document, path, left - 1);
}

/** The values that a schema names. */
function valuesOf(schema: Schema | undefined): readonly unknown[] | undefined {
  if (schema && schema.const !== undefined) return [schema.const];
  return Array.isArray(schema?.enum) ? schema.enum : undefined;
}

const distinct = (a: readonly unknown[], b: readonly unknown[]): boolean => {
  const known = new Set(a.map((value) => JSON.stringify(value)));
  return !b.some((value) => known.has(JSON.stringify(value)));
};

function apartByValue(a: Schema, b: Schema): boolean {
  const [first, second] = [valuesOf(a), valuesOf(b)];
  return first !== undefined && second !== undefined && distinct(first, second);
}

function apartByType(a: Schema, b: Schema): boolean {
  const [first, second] = [typesOf(a), typesOf(b)];
  return !first.some((type) => second.includes(type));
}

/** Numbers are integers, too. */
function typesOf(schema: Schema): readonly string[] {
  const values = valuesOf(schema);
  if (values) return TYPES.filter((type) => values.some((value) => isOfType(value, type)));
  const types = [schema.type ?? TYPES].flat().map(String);
  const all = schema.nullable === true ? [...types, "null"] : types;
  return all.includes("number") ? [...all, "integer"] : all.includes("integer") ? [...all, "number"] : all;
}

/** Whether both are objects that need one property and name different values of it. */
function apartByProperty(a: Schema, b: Schema, document: unknown, path: string): boolean {
  if (a.type !== "object" || b.type !== "object" || a.nullable === true || b.nullable === true) return false;
  const needed = [a.required, b.required].map((names) => (Array.isArray(names) ? names : []));
  const property = (schema: Schema, name: string): Schema | undefined => {
    const { properties } = schema;
    const own = isOfType(properties, "object") && Object.hasOwn(properties as Schema, name);
    return own ? resolved((properties as Schema)[name], document, path) : undefined;
  };
  return needed[0]!.some((name: unknown) => {
    if (typeof name !== "string" || !needed[1]!.includes(name)) return false;
    const [first, second] = [property(a, name), property(b, name)];
    return first !== undefined && second !== undefined && apartByValue(first, second);
  });
}
