import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import { expect, test } from "vitest";
import { UserError } from "../../../../src/errors.ts";
import { ByteAutomaton, type State } from "../../../../src/inference/generation/constrained/byte-automaton.ts";
import { grammarOfSchema } from "../../../../src/inference/generation/constrained/json-schema.ts";
import { randomFor } from "../../../../src/methods/initializers.ts";
import { atOnce } from "../../../../src/runtime/slices.ts";

const SCHEMAS = 1000;
/** Texts and values for each schema. */
const EACH = 4;
/** Bytes after which a text takes the shortest way to its end. */
const FREE_BYTES = 60;
const DEEPEST = 3;

type Schema = Record<string, unknown>;

const ajv = new Ajv2020({ strict: false, validateFormats: false, logger: false });

const letters = fc.string({ unit: fc.constantFrom(...'ab1 "\\éπ😀\n'), maxLength: 4 });
const small = fc.integer({ min: -40, max: 40 });
const decimal = fc.oneof(
  small,
  fc.integer({ min: -4000, max: 4000 }).map((value) => value / 100),
);
const scalar = fc.oneof(letters, decimal, fc.boolean(), fc.constant(null));
const anyValue = fc.oneof(
  { weight: 3, arbitrary: scalar },
  fc.array(scalar, { maxLength: 3 }),
  fc.dictionary(fc.constantFrom("a", "b", "c"), scalar, { maxKeys: 3, noNullPrototype: true }),
);
const count = fc.option(fc.nat(4), { nil: undefined });
const patterns = fc.constantFrom(
  "^a+b?$",
  "[ab]{2,3}",
  "^(a|b)*a(a|b){3}$",
  "^[^a]*1",
  "é|^\\w$",
  "^$",
  "^(ab?){1,2}[^b]?$",
);
const names = [" ", "a", "b", "b/~", "c", "é"];

/** Schemas of the supported keywords, and now and then another. Half of them are of no use: bounds that exclude all, say. */
const { schema: schemas } = fc.letrec<{ schema: Schema | boolean }>((tie) => ({
  schema: fc.oneof(
    { maxDepth: 3, depthSize: "small" },
    fc.record({ type: fc.constant("string"), minLength: count, maxLength: count }),
    fc.record({ type: fc.constant("string"), pattern: patterns, nullable: fc.constantFrom(true, undefined) }),
    fc.record(
      {
        type: fc.constantFrom("number", "integer"),
        minimum: decimal,
        maximum: decimal,
        exclusiveMinimum: decimal,
        exclusiveMaximum: decimal,
      },
      { requiredKeys: ["type"] },
    ),
    fc.record({
      type: fc.uniqueArray(fc.constantFrom("string", "number", "boolean", "null", "object"), { minLength: 1 }),
    }),
    fc.record({ enum: fc.array(anyValue, { minLength: 1, maxLength: 6 }), type: fc.constantFrom("string", undefined) }),
    fc.record({ const: anyValue }),
    fc.boolean(),
    fc.record({ $ref: fc.constantFrom("#/$defs/x", "#/$defs/y") }),
    fc.record({ type: fc.constant("string"), multipleOf: fc.constantFrom(undefined, 2) }),
    fc.record(
      {
        type: fc.constant("array"),
        items: tie("schema"),
        prefixItems: fc.array(tie("schema"), { minLength: 1, maxLength: 3 }),
        minItems: fc.nat(3),
        maxItems: fc.nat(4),
      },
      { requiredKeys: ["type"] },
    ),
    fc.record(
      {
        type: fc.constant("object"),
        properties: fc
          .tuple(fc.subarray(names, { maxLength: 4 }), fc.array(tie("schema"), { minLength: 4, maxLength: 4 }))
          .map(([keys, values]) => Object.fromEntries(keys.map((key, i) => [key, values[i]]))),
        required: fc.subarray([...names, "ü"], { maxLength: 3 }),
        additionalProperties: tie("schema"),
      },
      { requiredKeys: ["type"] },
    ),
    fc.record({ anyOf: fc.array(tie("schema"), { minLength: 1, maxLength: 4 }) }),
    fc.record({ oneOf: fc.array(tie("schema"), { minLength: 1, maxLength: 3 }) }),
    fc.record({ allOf: fc.array(tie("schema"), { minLength: 1, maxLength: 1 }) }),
  ),
}));

/** A schema whose `$ref`s lead somewhere, and to no end. */
const document = fc.record({ root: schemas, x: schemas }).map(({ root, x }): Schema => {
  const y = { type: "array", items: { $ref: "#/$defs/x" }, maxItems: 2 };
  const bounded = JSON.parse(JSON.stringify(x).replaceAll("#/$defs/x", "#/$defs/y"));
  // What refers to itself does so within a list: Ajv would never end otherwise.
  const listed = JSON.stringify(x).includes("$ref") ? { type: "array", items: bounded } : bounded;
  return { $defs: { x: listed, y }, anyOf: [JSON.parse(JSON.stringify(root))] };
});

/**
 * The schema of the values that are written, by docs/language-models.md: an object with named properties has no others, and a list
 * that names its first items has more only with `items`, or if it must.
 */
function writtenOf(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(writtenOf);
  if (typeof schema !== "object" || schema === null) return schema;
  const { const: value, enum: values, ...others } = schema as Schema;
  if (value !== undefined || values) return schema;
  const all: Schema = Object.fromEntries(Object.entries(others).map(([key, each]) => [key, writtenOf(each)]));
  const { properties = {}, required = [], additionalProperties = true } = all;
  const unnamed = (required as string[]).filter((key) => !Object.hasOwn(properties as Schema, key));
  const named = { ...(properties as Schema), ...Object.fromEntries(unnamed.map((key) => [key, additionalProperties])) };
  if (all.type === "object" && Object.keys(named).length > 0) {
    return { ...all, properties: named, additionalProperties: false };
  }
  const first = (all.prefixItems as unknown[] | undefined)?.length;
  return first === undefined || all.items !== undefined ? all : { ...all, items: Number(all.minItems ?? 0) > first };
}

/** Reads texts by the compiled schema; nothing if the schema is refused. */
function compiled(schema: Schema): ByteAutomaton | undefined {
  try {
    const { grammar, root } = atOnce(grammarOfSchema(schema));
    return new ByteAutomaton(grammar, root, 32, () => new UserError("too many ways"));
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    return undefined;
  }
}

function accepts(automaton: ByteAutomaton, text: string): boolean {
  let state: State | null = automaton.start();
  for (const byte of new TextEncoder().encode(text)) state = state && atOnce(automaton.step(state, byte));
  return state !== null && automaton.ends(state);
}

/** A text that the compiled schema accepts: at first any way, then the shortest to the end. */
function writtenText(automaton: ByteAutomaton, random: RandomGenerator): string | undefined {
  const bytes: number[] = [];
  let state: State = automaton.start();
  if (automaton.fewestBytes(state) === Number.POSITIVE_INFINITY) return undefined;
  const free = uniformInt(random, 0, FREE_BYTES);
  while (bytes.length < free) {
    const at = state;
    const next = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => atOnce(automaton.step(at, byte)));
    if (next.length === 0 || (automaton.ends(at) && uniformInt(random, 0, 3) === 0)) break;
    bytes.push(next[uniformInt(random, 0, next.length - 1)]!);
    state = atOnce(automaton.step(at, bytes.at(-1)!))!;
  }
  while (!automaton.ends(state)) {
    const { from } = atOnce(automaton.soonest(automaton.shortest(state)[0]!));
    bytes.push(from);
    state = atOnce(automaton.step(state, from))!;
  }
  return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(bytes));
}

/** Makes values for schemas without looking at how they are compiled; Ajv says which of them are valid. */
class Values {
  readonly #document: Schema;
  readonly #random: RandomGenerator;

  constructor(document: Schema, random: RandomGenerator) {
    this.#document = document;
    this.#random = random;
  }

  #pick<Value>(values: readonly Value[]): Value {
    return values[uniformInt(this.#random, 0, values.length - 1)]!;
  }

  of(schema: unknown, depth = 0): unknown {
    if (typeof schema === "boolean") return this.#pick([1.5, "a", null, true]);
    const given = schema as Schema;
    if (given.nullable === true && this.#pick([true, false])) return null;
    const options = (given.anyOf ?? given.oneOf ?? given.allOf) as unknown[] | undefined;
    if (options) return this.of(this.#pick(options), depth);
    if (typeof given.$ref === "string") {
      const target = (this.#document.$defs as Schema)[given.$ref.split("/").at(-1)!];
      return target === undefined || depth > DEEPEST ? null : this.of(target, depth + 1);
    }
    if ("const" in given) return given.const;
    if (given.enum) return this.#pick(given.enum as unknown[]);
    return this.#ofType(this.#typeOf(given), given, depth);
  }

  #typeOf({ type, ...given }: Schema): string {
    if (type !== undefined) return this.#pick([type].flat() as string[]);
    if (Object.keys(given).length > 0) return "string";
    return this.#pick(["string", "number", "boolean", "null"]);
  }

  #ofType(type: string, given: Schema, depth: number): unknown {
    switch (type) {
      case "string":
        return this.#string();
      case "integer":
        return uniformInt(this.#random, -45, 45);
      case "number":
        return this.#pick([
          uniformInt(this.#random, -4500, 4500) / 100,
          ...["minimum", "maximum"].flatMap((bound) => (given[bound] as number | undefined) ?? []),
        ]);
      case "boolean":
        return this.#pick([true, false]);
      case "array":
        return depth > DEEPEST ? [] : this.#array(given, depth);
      case "object":
        return depth > DEEPEST ? {} : this.#object(given, depth);
      default:
        return null;
    }
  }

  #string(): string {
    const length = uniformInt(this.#random, 0, 6);
    return Array.from({ length }, () => this.#pick([..."aaabbb1", " ", '"', "\\", "é", "π", "😀", "\n"])).join("");
  }

  /** A list that names its first items has no others, unless `items` says so or it must. */
  #array({ items, prefixItems = [], minItems = 0 }: Schema, depth: number): unknown[] {
    const first = prefixItems as unknown[];
    const hasOthers = items !== undefined || first.length === 0 || (minItems as number) > first.length;
    const length = uniformInt(this.#random, 0, hasOthers ? 4 : first.length);
    return Array.from({ length }, (_, i) => this.of(i < first.length ? first[i] : (items ?? true), depth + 1));
  }

  /** Keys stand in the schema's order; there are others only if none is named. */
  #object({ properties = {}, required = [], additionalProperties = true }: Schema, depth: number): object {
    const named = Object.entries(properties as Schema);
    const needed = required as string[];
    const others = needed.filter((name) => !named.some(([key]) => key === name));
    if (named.length === 0 && needed.length === 0) {
      const keys = [this.#string(), this.#string()].slice(0, uniformInt(this.#random, 0, 2));
      return Object.fromEntries(keys.map((name) => [name, this.of(additionalProperties, depth + 1)]));
    }
    const all = [...named, ...others.map((name) => [name, additionalProperties] as const)];
    const present = all.filter(([name]) => needed.includes(name) || this.#pick([true, false]));
    return Object.fromEntries(present.map(([name, value]) => [name, this.of(value, depth + 1)]));
  }
}

test(`${SCHEMAS} random schemas accept what is valid, and write nothing else, by Ajv's judgement`, () => {
  const seen = { refused: 0, written: 0, accepted: 0, rejected: 0 };
  fc.assert(
    fc.property(document, anyValue, fc.nat(), (schema, other, seed) => {
      const automaton = compiled(schema);
      if (!automaton) {
        seen.refused++;
        return;
      }
      const validate = ajv.compile(schema);
      const mustBeWritten = ajv.compile(writtenOf(schema) as Schema);
      const random = randomFor(seed, "texts");
      const values = new Values(schema, random);
      for (let i = 0; i < EACH; i++) {
        const text = writtenText(automaton, random);
        if (text !== undefined) {
          seen.written++;
          expect(validate(JSON.parse(text)), `${text} is written`).toBe(true);
        }
        const value = i === 0 ? other : values.of(schema);
        const isAccepted = accepts(automaton, JSON.stringify(value));
        if (isAccepted) expect(validate(value), `${JSON.stringify(value)} is accepted`).toBe(true);
        if (isAccepted) seen.accepted++;
        else seen.rejected++;
        if (mustBeWritten(value)) expect(isAccepted, `${JSON.stringify(value)} is valid`).toBe(true);
      }
    }),
    { numRuns: SCHEMAS, seed: 57 },
  );
  // Most schemas are compiled, and most have valid values.
  expect(seen.refused).toBeLessThan(SCHEMAS / 2);
  for (const times of [seen.written, seen.accepted, seen.rejected]) expect(times).toBeGreaterThan(SCHEMAS / 2);
});

/** Schemas of JSON-Schema-Test-Suite (https://github.com/json-schema-org, 44401e0) for draft 2020-12, with valid and invalid values, by keyword. */
const SUITE: Record<string, { schema: Schema; valid: unknown[]; invalid: unknown[] }[]> = JSON.parse(
  readFileSync(new URL("../../../fixtures/json-schema-test-suite.json", import.meta.url), "utf8"),
);

test("of JSON-Schema-Test-Suite, a schema is refused, or accepts no value that is not valid", () => {
  const seen = { refused: 0, compiled: 0, accepted: 0 };
  for (const [keyword, groups] of Object.entries(SUITE)) {
    for (const { schema, valid, invalid } of groups) {
      const automaton = compiled(schema);
      seen[automaton ? "compiled" : "refused"]++;
      if (!automaton) continue;
      const accepted = (value: unknown): boolean => accepts(automaton, JSON.stringify(value));
      expect(invalid.filter(accepted), `${keyword}: ${JSON.stringify(schema)}`).toEqual([]);
      seen.accepted += valid.filter(accepted).length;
    }
  }
  // Other valid values have another order, further properties, or a type that a keyword does not limit.
  expect(seen).toEqual({ refused: 133, compiled: 113, accepted: 163 });
});
