import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { UserError } from "../../../../src/errors.ts";
import { ByteAutomaton, type State } from "../../../../src/inference/generation/constrained/byte-automaton.ts";
import { grammarOfSchema } from "../../../../src/inference/generation/constrained/json-schema.ts";
import { atOnce } from "../../../../src/runtime/slices.ts";

/** Whether an answer may be a text. */
function acceptedBy(schema: unknown): (text: string) => boolean {
  const { grammar, root } = atOnce(grammarOfSchema(schema));
  const automaton = new ByteAutomaton(grammar, root, 32, () => new UserError("too many ways"));
  return (text) => {
    let state: State | null = automaton.start();
    for (const byte of new TextEncoder().encode(text)) state = state && atOnce(automaton.step(state, byte));
    return state !== null && automaton.ends(state);
  };
}

const bound = fc.integer({ min: -3000, max: 3000 });

test("whole numbers are written between their bounds, and nowhere else", () => {
  fc.assert(
    fc.property(bound, bound, bound, (minimum, maximum, value) => {
      const accepts = acceptedBy({ type: "integer", minimum, exclusiveMaximum: maximum });
      expect(accepts(String(value))).toBe(value >= minimum && value < maximum);
      expect(accepts(`0${value}`)).toBe(false);
    }),
    { numRuns: 200 },
  );
});

test("numbers are written between their bounds, and nowhere else", () => {
  const decimal = bound.map((value) => value / 100);
  fc.assert(
    fc.property(decimal, decimal, decimal, (a, b, value) => {
      const [minimum, maximum] = [Math.min(a, b), Math.max(a, b)];
      const accepts = acceptedBy({ type: "number", minimum, maximum });
      expect(accepts(String(value))).toBe(value >= minimum && value <= maximum);
      expect(accepts(String(minimum))).toBe(true);
      expect(accepts(value.toFixed(6))).toBe(value >= minimum && value <= maximum);
    }),
    { numRuns: 200 },
  );
});

test("counts that exclude each other allow nothing", () => {
  const { grammar, root } = atOnce(grammarOfSchema({ type: "string", minLength: 2, maxLength: 1 }));
  expect(grammar.fewestBytes(root)).toBe(Number.POSITIVE_INFINITY);
  expect(acceptedBy({ anyOf: [{ type: "string", minLength: 2, maxLength: 1 }, { type: "null" }] })("null")).toBe(true);
});

test("schemas that refer to each other many times over have their shortest text", () => {
  const $defs = Object.fromEntries(
    Array.from({ length: 2000 }, (_, i) => [
      `d${i}`,
      i === 0 ? { const: 1 } : { type: "array", items: { $ref: `#/$defs/d${i - 1}` }, minItems: 1 },
    ]),
  );
  const anyOf = Object.keys($defs).map((name) => ({ $ref: `#/$defs/${name}` }));
  const { grammar, root } = atOnce(grammarOfSchema({ $defs, anyOf: anyOf.slice(1) }));
  expect(grammar.fewestBytes(root)).toBe("[1]".length);
});

test("bounds beyond what is written hold, too", () => {
  const whole = acceptedBy({ type: "integer", minimum: -Number.MAX_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER });
  expect(["999999999999999", "-999999999999999", "1e3", "1.5"].map(whole)).toEqual([true, true, false, false]);
  expect(acceptedBy({ type: "number", maximum: -1e300 })("-1")).toBe(false);
});

test("schemas of other programs are read: a record's names, a tuple's items", () => {
  const record = acceptedBy({ propertyNames: { type: "string" }, additionalProperties: { type: "boolean" } });
  expect(['{"any":true}', '{"any":1}'].map(record)).toEqual([true, false]);
  const tuple = acceptedBy({ prefixItems: [{ type: "null" }, { type: "boolean" }] });
  expect(["[]", "[null]", "[null,true]", "[null,true,1]", "[true]"].map(tuple)).toEqual([
    true,
    true,
    true,
    false,
    false,
  ]);
  expect(acceptedBy({ prefixItems: [{ type: "null" }], minItems: 2 })('[null,"more"]')).toBe(true);
});

test("a bound that is left out is not written", () => {
  const accepts = acceptedBy({ type: "number", exclusiveMinimum: 0, exclusiveMaximum: 1 });
  expect(["0", "0.0", "1", "1.0", "-0", "0.5", "0.000001", "0.999999"].map(accepts)).toEqual([
    ...Array(5).fill(false),
    ...Array(3).fill(true),
  ]);
});

test.each([
  "^a+$",
  "^(ab|c)*d?$",
  "b{2,3}",
  "^[^ab]c",
  "^[a-c]{2}[^\\d]$",
  "a.c",
  "^\\w+\\s\\d?$",
  "^(?:a|(?<n>b))+?$|^\\u0063$",
  '^["\\\\]+$',
  "^[é-í]|c$",
])("what matches %s is written, and nothing else", (pattern) => {
  const accepts = acceptedBy({ type: "string", pattern });
  const expression = new RegExp(pattern, "u");
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'abcd 1"\\éπ\n'), maxLength: 5 }), (text) => {
      expect(accepts(JSON.stringify(text))).toBe(expression.test(text));
    }),
    { numRuns: 200 },
  );
});

test("strings are counted as Unicode counts characters, whatever stands for them", () => {
  const accepts = acceptedBy({ type: "string", minLength: 2, maxLength: 3 });
  const texts = ["a", "ab", "😀😀", "😀é\u{10ffff}", "\ud7ff\ue000", "abcd", "\n\t"];
  expect(texts.map((text) => accepts(JSON.stringify(text)))).toEqual([false, true, true, true, true, false, true]);
  expect(['"\\u00e9a"', '"\\ud83d\\ude00"', '"\\/\\b"', '"a\nb"', '"\\x1"'].map(accepts)).toEqual([
    true,
    false,
    true,
    false,
    false,
  ]);
});

test.each([
  ["date", "2024-02-28", "2024-02-30"],
  ["date", "2023-12-31", "2023-11-31"],
  ["time", "23:59:59Z", "24:00:00Z"],
  ["date-time", "2024-10-30T08:00:00.5+02:00", "2024-10-30 08:00:00Z"],
  ["uuid", "123e4567-e89b-12d3-a456-426614174000", "123e4567e89b12d3a456426614174000"],
  ["email", "a.b@example-site.org", "a@b"],
  ["ipv4", "192.168.0.255", "192.168.0.256"],
  ["uri", "https://example.org/a/b.html", "example.org"],
])("format %s: %s, not %s", (format, valid, invalid) => {
  const accepts = acceptedBy({ type: "string", format });
  expect([valid, invalid].map((text) => accepts(JSON.stringify(text)))).toEqual([true, false]);
});

test("blanks are few, keys in the schema's order, and nothing is there that is not named", () => {
  const accepts = acceptedBy({ properties: { a: { type: "integer" }, "b/~": true }, required: ["b/~"] });
  const texts = [
    '{"a":1,"b/~":2}',
    '{ "b/~": [1, {}] }',
    '{\n  "a": 1,\n  "b/~": null\n}',
    '{"a":1}',
    '{"b/~":2,"a":1}',
  ];
  expect(texts.map(accepts)).toEqual([true, true, true, false, false]);
  expect(['{"b/~":1,"c":2}', '{    "b/~":1}', ' {"b/~":1}', '{"b/~":1,}'].map(accepts)).toEqual(Array(4).fill(false));
});

describe("what cannot be held to is refused by its place", () => {
  test.each<[string, unknown, RegExp]>([
    [
      "a keyword",
      { properties: { a: { multipleOf: 2 } } },
      /#\/properties\/a\/multipleOf is not supported; leave it out/,
    ],
    ["a keyword beside another", { enum: ["a"], minLength: 1 }, /#\/minLength is not supported beside enum/],
    ["a pattern of names", { propertyNames: { pattern: "^a" } }, /#\/propertyNames\/pattern is not supported/],
    ["a length beside a pattern", { pattern: "^a$", maxLength: 3 }, /#\/maxLength is not supported beside pattern/],
    ["an unknown type", { type: "text" }, /#\/type must be of object, array/],
    ["an unknown format", { format: "hostname" }, /#\/format is not supported \(formats: date, time/],
    ["a pattern that looks ahead", { pattern: "^(?=a)b" }, /#\/pattern has a group that looks around/],
    ["a pattern that refers back", { pattern: "^(a)\\1$" }, /#\/pattern has "\\1", which is not supported/],
    ["a pattern that is none", { pattern: "(" }, /#\/pattern is no regular expression/],
    ["a counted part that may be empty", { pattern: "^(a*){1,900}$" }, /a counted part that may be empty/],
    ["a reference that leads nowhere", { $ref: "#/$defs/a" }, /#\/\$ref points to #\/\$defs\/a, which does not exist/],
    ["a reference elsewhere", { $ref: "https://example.org" }, /#\/\$ref must point into the schema itself/],
    [
      "schemas that may hold at once",
      { oneOf: [{ type: "number" }, { type: "integer" }] },
      /#\/oneOf has schemas that one value can match/,
    ],
    ["a bound with an exponent", { minimum: 1e-9 }, /#\/minimum must be a number without an exponent/],
    ["a count that is none", { minItems: -1 }, /#\/minItems must be a whole number from 0 on/],
    ["what is no schema", { items: "string" }, /#\/items is no schema: write an object, true or false/],
    ["what is very deep", deep(70), /is nested more than 64 deep; make it flatter/],
    ["what is very large", { anyOf: [...Array(3000).keys()].map((minimum) => ({ minimum })) }, /schema is too large/],
    ["a very long text", { const: "x".repeat(5_000_000) }, /the JSON schema is too large/],
    ["a very long list", { enum: Array(500_000).fill(1) }, /#\/enum has 500000 entries, and may have 100000/],
    ["very many alternatives", { oneOf: Array(65).fill({ const: 1 }) }, /#\/oneOf has more than 64 schemas/],
    ["what is no pattern, and long", { pattern: `${"a".repeat(9000)}(` }, /is no regular expression: .{0,200}$/],
    ["a very long pattern", { pattern: "a".repeat(90_000) }, /#\/pattern has 90000 characters, and may have 10000/],
    [
      "objects that differ in the order of their keys alone",
      { oneOf: [{ const: { a: 1, b: 2 } }, { const: { b: 2, a: 1 } }] },
      /#\/oneOf has schemas that one value can match together/,
    ],
    ["many properties that share many values", sharing(2000), /#\/oneOf has too many values to compare; write anyOf/],
  ])("%s", (_, schema, message) => {
    expect(() => atOnce(grammarOfSchema(schema))).toThrow(message);
    expect(() => atOnce(grammarOfSchema(schema))).toThrow(UserError);
  });
});

function sharing(count: number): object {
  const values = { enum: Array.from({ length: count }, (_, i) => `value ${i}`) };
  const required = Array.from({ length: count }, (_, i) => `property ${i}`);
  const properties = Object.fromEntries(required.map((name) => [name, { $ref: "#/$defs/values" }]));
  return { $defs: { values }, oneOf: [{ type: "object", properties, required }] };
}

function deep(levels: number): object {
  return levels === 0 ? {} : { type: "array", items: deep(levels - 1) };
}
