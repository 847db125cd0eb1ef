import { UserError } from "../../../errors.ts";
import type { Sliced } from "../../../runtime/slices.ts";
import { ByteGrammar } from "./byte-grammar.ts";
import type { Expression } from "./expressions.ts";
import { JsonGrammar, type Member } from "./json-grammar.ts";
import { type Bounds, integers, numbers } from "./number-grammar.ts";
import { refuseOverlap } from "./one-of.ts";
import { ofPattern, PATTERN_OF_FORMAT } from "./pattern-grammar.ts";
import { isOfType, refused, resolvePointer, type Schema, TYPES, type TypeName } from "./schema-values.ts";

const MOST_EXPRESSIONS = 100_000;
const MOST_LISTED = 100_000;
const DEEPEST = 64;

const OF_TYPE: Readonly<Record<TypeName, readonly string[]>> = {
  object: ["properties", "required", "additionalProperties", "propertyNames"],
  array: ["items", "prefixItems", "minItems", "maxItems"],
  string: ["minLength", "maxLength", "pattern", "format"],
  number: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"],
  integer: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"],
  boolean: [],
  null: [],
};

/** Keywords that define a value completely. The first of them counts. */
const WHOLE = ["$ref", "const", "enum", "anyOf", "oneOf", "allOf"] as const;

const NOTES = new Set([
  ...["$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default", "examples", "example"],
  ...["deprecated", "readOnly", "writeOnly", "nullable", "discriminator", "contentEncoding", "contentMediaType"],
]);

/**
 * The texts that are valid by a JSON schema, or some of them: objects that name their properties have no others, in the order in
 * which the schema names them; white space is little; numbers have 15 digits before the point at most.
 * @see https://json-schema.org/draft/2020-12
 */
export function* grammarOfSchema(schema: unknown): Sliced<{ grammar: ByteGrammar; root: Expression }> {
  const grammar = new ByteGrammar(
    MOST_EXPRESSIONS,
    () => new UserError("the JSON schema is too large; leave out parts of it"),
  );
  const root = yield* new SchemaReader(schema, grammar).read(schema, "#", 0);
  yield* grammar.settle();
  return { grammar, root };
}

class SchemaReader {
  readonly #json: JsonGrammar;
  readonly #references = new Map<string, Expression>();
  readonly #numbers = new Map<string, Expression>();

  constructor(
    private readonly document: unknown,
    private readonly grammar: ByteGrammar,
  ) {
    this.#json = new JsonGrammar(grammar);
  }

  *read(schema: unknown, path: string, depth: number): Sliced<Expression> {
    yield;
    if (depth > DEEPEST) throw refused(path, `is nested more than ${DEEPEST} deep; make it flatter`);
    if (schema === true) return this.#json.any();
    if (schema === false) return this.grammar.impossible;
    if (typeof schema !== "object" || schema === null || Array.isArray(schema)) {
      throw refused(path, "is no schema: write an object, true or false");
    }
    const first = this.grammar.nextId;
    const keyword = WHOLE.find((each) => (schema as Schema)[each] !== undefined);
    const found = keyword
      ? yield* this.#readWhole(keyword, schema as Schema, path, depth)
      : yield* this.#readTyped(schema as Schema, path, depth);
    this.grammar.setPlace(path, first);
    return (schema as Schema).nullable === true ? this.grammar.choice(found, this.grammar.literal("null")) : found;
  }

  *#readAll(
    schemas: Iterable<readonly [name: string | number, schema: unknown]>,
    pathOf: (name: string) => string,
    depth: number,
  ): Sliced<Expression[]> {
    const all: Expression[] = [];
    for (const [name, schema] of schemas) all.push(yield* this.read(schema, pathOf(String(name)), depth + 1));
    return all;
  }

  *#readWhole(keyword: (typeof WHOLE)[number], schema: Schema, path: string, depth: number): Sliced<Expression> {
    const beside = keyword === "enum" || keyword === "const" ? ["type"] : [];
    refuseOthers(schema, [keyword, ...beside], path, ` beside ${keyword}`);
    const value = schema[keyword];
    const at = `${path}/${keyword}`;
    switch (keyword) {
      case "$ref":
        return yield* this.#refer(value, at, depth);
      case "const":
        return yield* this.#oneOf([value], schema, path);
      case "enum":
        return yield* this.#oneOf(list(value, at), schema, path);
      default: {
        const options = list(value, at);
        if (keyword === "allOf" && options.length > 1)
          throw refused(at, "is supported with only one schema; merge them");
        if (keyword === "oneOf") yield* refuseOverlap(options, this.document, at);
        const first = this.grammar.nextId;
        const read = yield* this.#readAll(options.entries(), (i) => `${at}/${i}`, depth);
        this.grammar.setPlace(at, first);
        yield;
        return this.grammar.choiceOf(read);
      }
    }
  }

  /** One of some values, as JSON writes them; those of other types than the schema's are left out. */
  *#oneOf(values: readonly unknown[], schema: Schema, path: string): Sliced<Expression> {
    const types = schema.type === undefined ? TYPES : typesOf(schema, path);
    const written: string[] = [];
    for (const value of values) {
      if (types.some((type) => isOfType(value, type))) written.push(JSON.stringify(value));
      yield;
    }
    // A sorted list becomes words much sooner.
    written.sort();
    yield;
    return this.grammar.words(written);
  }

  *#refer(pointer: unknown, path: string, depth: number): Sliced<Expression> {
    if (typeof pointer !== "string" || !/^#(\/|$)/.test(pointer)) {
      throw refused(path, "must point into the schema itself, such as #/$defs/item");
    }
    const known = this.#references.get(pointer);
    if (known) return known;
    const reference = this.grammar.reference();
    this.#references.set(pointer, reference);
    reference.target = yield* this.read(resolvePointer(this.document, pointer, path), pointer, depth + 1);
    return reference;
  }

  *#readTyped(schema: Schema, path: string, depth: number): Sliced<Expression> {
    const types = typesOf(schema, path);
    refuseOthers(schema, ["type", ...types.flatMap((type) => OF_TYPE[type])], path);
    if (schema.type === undefined && types.length === TYPES.length) return this.#json.any();
    const distinct = types.includes("number") ? types.filter((type) => type !== "integer") : types;
    const choices: Expression[] = [];
    for (const type of distinct) choices.push(yield* this.#readType(type, schema, path, depth));
    return this.grammar.choiceOf(choices);
  }

  *#readType(type: TypeName, schema: Schema, path: string, depth: number): Sliced<Expression> {
    switch (type) {
      case "object":
        return yield* this.#readObject(schema, path, depth);
      case "array":
        return yield* this.#readArray(schema, path, depth);
      case "string":
        return yield* this.#readString(schema, path);
      case "number":
      case "integer":
        return this.#readNumber(type, schema, path);
      case "boolean":
        return this.grammar.words(["true", "false"]);
      case "null":
        return this.grammar.literal("null");
    }
  }

  #readNumber(type: "number" | "integer", schema: Schema, path: string): Expression {
    const bounds = boundsOf(schema, path, type === "integer");
    const key = `${type} ${bounds.low} ${bounds.high}`;
    const found = this.#numbers.get(key) ?? (type === "integer" ? integers : numbers)(this.grammar, bounds);
    this.#numbers.set(key, found);
    return found;
  }

  *#readObject(schema: Schema, path: string, depth: number): Sliced<Expression> {
    const { properties, required, additionalProperties, propertyNames = {} } = schema;
    // Constraints on names are not supported.
    refuseOthers({ ...record(propertyNames, `${path}/propertyNames`), type: undefined }, [], `${path}/propertyNames`);
    const named = properties === undefined ? {} : record(properties, `${path}/properties`);
    const needed = new Set(required === undefined ? [] : list(required, `${path}/required`));
    const unnamed = [...needed].filter((key): key is string => typeof key === "string" && !Object.hasOwn(named, key));
    const readOthers = () => this.read(additionalProperties ?? true, `${path}/additionalProperties`, depth + 1);
    const keys = Object.keys(named);
    if (keys.length === 0 && needed.size === 0) {
      return additionalProperties === false ? yield* this.#json.object([]) : this.#json.map(yield* readOthers());
    }
    const pathOf = (key: string): string => `${path}/properties/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`;
    const values = yield* this.#readAll(Object.entries(named), pathOf, depth);
    const members = keys.map((key, i): Member => ({ key, value: values[i]!, required: needed.has(key) }));
    if (unnamed.length > 0) {
      const value = yield* readOthers();
      members.push(...unnamed.map((key): Member => ({ key, value, required: true })));
    }
    return yield* this.#json.object(members);
  }

  *#readArray({ items, prefixItems, minItems, maxItems }: Schema, path: string, depth: number): Sliced<Expression> {
    const first = prefixItems === undefined ? [] : list(prefixItems, `${path}/prefixItems`);
    const places = yield* this.#readAll(first.entries(), (i) => `${path}/prefixItems/${i}`, depth);
    const [min = 0, max] = [count(minItems, `${path}/minItems`), count(maxItems, `${path}/maxItems`)];
    // A list that names its first items has no others, unless it must.
    const others = items ?? (first.length === 0 || min > first.length);
    const item = others === false ? undefined : yield* this.read(others, `${path}/items`, depth + 1);
    return yield* this.#json.array(places, item, min, max);
  }

  *#readString(schema: Schema, path: string): Sliced<Expression> {
    const { minLength, maxLength, pattern, format } = schema;
    if (pattern === undefined && format === undefined) {
      return this.#json.string(count(minLength, `${path}/minLength`) ?? 0, count(maxLength, `${path}/maxLength`));
    }
    const keyword = pattern === undefined ? "format" : "pattern";
    refuseOthers(schema, ["type", keyword], path, ` beside ${keyword}`, ["minLength", "maxLength"]);
    const expression = keyword === "pattern" ? pattern : PATTERN_OF_FORMAT[String(format)];
    if (typeof expression !== "string") {
      const known = Object.keys(PATTERN_OF_FORMAT).join(", ");
      throw refused(`${path}/${keyword}`, `is not supported (formats: ${known}); leave it out`);
    }
    const first = this.grammar.nextId;
    const characters = yield* ofPattern(this.grammar, expression, `${path}/${keyword}`);
    this.grammar.setPlace(`${path}/${keyword}`, first);
    return this.#json.quoted(characters);
  }
}

function typesOf(schema: Schema, path: string): readonly TypeName[] {
  if (schema.type === undefined) {
    const about = TYPES.filter((type) => OF_TYPE[type].some((keyword) => schema[keyword] !== undefined));
    return about.length === 0 ? TYPES : about;
  }
  const types = new Set(Array.isArray(schema.type) ? schema.type : [schema.type]);
  return [...types].map((type) => {
    const known = TYPES.find((each) => each === type);
    if (!known) throw refused(`${path}/type`, `must be of ${TYPES.join(", ")}`);
    return known;
  });
}

/** Bounds, with exclusive ones moved in by a millionth, or by one. */
function boundsOf(schema: Schema, path: string, whole: boolean): Bounds {
  const bound = (keyword: string): number | undefined => {
    const value = schema[keyword];
    if (value === undefined) return undefined;
    if (typeof value !== "number" || (!Number.isInteger(value) && /e/.test(String(value)))) {
      throw refused(`${path}/${keyword}`, "must be a number without an exponent");
    }
    return value;
  };
  const inward = (value: number | undefined, sign: 1 | -1): number | undefined => {
    if (value === undefined) return undefined;
    if (whole || Math.abs(value) >= 1e9) return (sign > 0 ? Math.floor(value) : Math.ceil(value)) + sign;
    return Number((value + sign * 1e-6).toFixed(9));
  };
  const low = [bound("minimum"), inward(bound("exclusiveMinimum"), 1)].filter((each) => each !== undefined);
  const high = [bound("maximum"), inward(bound("exclusiveMaximum"), -1)].filter((each) => each !== undefined);
  return { low: Math.max(...low), high: Math.min(...high) };
}

function refuseOthers(
  schema: Schema,
  allowed: readonly string[],
  path: string,
  beside = "",
  among: readonly string[] = Object.keys(schema),
): void {
  const other = among.find((key) => schema[key] !== undefined && !NOTES.has(key) && !allowed.includes(key));
  if (other !== undefined) throw refused(`${path}/${other}`, `is not supported${beside}; leave it out`);
}

function list(value: unknown, path: string): readonly unknown[] {
  if (Array.isArray(value) && value.length > MOST_LISTED) {
    throw refused(path, `has ${value.length} entries, and may have ${MOST_LISTED}; make it shorter`);
  }
  if (Array.isArray(value) && (value.length > 0 || /required$|prefixItems$/.test(path))) return value;
  throw refused(path, "must be a list");
}

function record(value: unknown, path: string): Schema {
  if (isOfType(value, "object")) return value as Schema;
  throw refused(path, "must be an object");
}

function count(value: unknown, path: string): number | undefined {
  if (value === undefined || (Number.isInteger(value) && (value as number) >= 0)) return value as number | undefined;
  throw refused(path, "must be a whole number from 0 on");
}
