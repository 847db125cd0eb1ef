import fc from "fast-check";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { describe, expect, test } from "vitest";
import { UserError } from "../../../../src/errors.ts";
import type { AnswerConstraint } from "../../../../src/inference/generation/constrained/answer-constraint.ts";
import { ByteAutomaton, type State } from "../../../../src/inference/generation/constrained/byte-automaton.ts";
import { grammarOfSchema } from "../../../../src/inference/generation/constrained/json-schema.ts";
import { KeptMemory } from "../../../../src/inference/generation/constrained/kept-memory.ts";
import { type JsonSchema, newConstraint } from "../../../../src/inference/generation/constrained/schema-constraint.ts";
import { LONGEST_TOKEN, Vocabulary } from "../../../../src/inference/generation/constrained/vocabulary.ts";
import { randomFor } from "../../../../src/methods/initializers.ts";
import { atOnce, inSlices } from "../../../../src/runtime/slices.ts";

const encoder = new TextEncoder();

function automatonOf(schema: unknown): ByteAutomaton {
  const { grammar, root } = atOnce(grammarOfSchema(schema));
  return new ByteAutomaton(grammar, root, LONGEST_TOKEN, (all) => new UserError(`wide: ${grammar.placeOf(all)}`));
}

function readOn(automaton: ByteAutomaton, start: State | null, bytes: Uint8Array): State | null {
  let state = start;
  for (const byte of bytes) state = state && atOnce(automaton.step(state, byte));
  return state;
}

function accepts(automaton: ByteAutomaton, text: string): boolean {
  const state = readOn(automaton, automaton.start(), encoder.encode(text));
  return state !== null && automaton.ends(state);
}

const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `${i % 7} shirts, No. ${i * 7919}`);

describe("of many choices none is lost", () => {
  const consts = names(1000).map((name) => ({ const: name }));
  const named = consts.map((name) => ({ type: "object", properties: { name }, required: ["name"] }));
  test.each<[string, object, (name: string) => string]>([
    ["enum", { enum: names(1000) }, (name) => JSON.stringify(name)],
    ["anyOf of constants", { anyOf: consts }, (name) => JSON.stringify(name)],
    ["anyOf of objects", { anyOf: named }, (name) => JSON.stringify({ name })],
  ])("%s", (_, schema, written) => {
    const automaton = automatonOf(schema);
    expect(names(1000).filter((name) => !accepts(automaton, written(name)))).toEqual([]);
    expect(["no name", "1 shirts", `${names(2)[1]}7`].some((name) => accepts(automaton, written(name)))).toBe(false);
  });

  test("an enum of 50,000 names", () => {
    const automaton = automatonOf({ enum: names(50_000) });
    const some = names(50_000).filter((_, i) => i % 17 === 0);
    expect(some.filter((name) => !accepts(automaton, JSON.stringify(name)))).toEqual([]);
    expect(accepts(automaton, JSON.stringify("0 shirts, No. 1"))).toBe(false);
  });

  test("names within names, with letters of several bytes", () => {
    const texts = ["a", "ab", "abc", "b", "é", "éa", "😀", "\ue000", "\ud7ff", "b"];
    const automaton = automatonOf({ type: "object", properties: { x: { enum: texts } }, required: ["x"] });
    const all = [...texts, "abd", "", "c", "éb", "\ue001"];
    expect(all.filter((x) => accepts(automaton, JSON.stringify({ x })))).toEqual(texts);
  });
});

test("a pattern whose counts overlap accepts what matches, and nothing else", () => {
  const pattern = "^(a|b)*a(a|b){300}$";
  const automaton = automatonOf({ type: "string", pattern });
  const text = fc.string({ unit: fc.constantFrom("a", "b"), minLength: 290, maxLength: 700 });
  fc.assert(
    fc.property(text, (value) => {
      expect(accepts(automaton, JSON.stringify(value))).toBe(new RegExp(pattern).test(value));
    }),
    { numRuns: 50 },
  );
});

test("a text that can be read in too many ways is refused by the place in the schema", () => {
  const pattern = "^((a+a{0,200}){1,200}b?){1,200}$";
  const automaton = automatonOf({ type: "object", properties: { x: { type: "string", pattern } }, required: ["x"] });
  expect(accepts(automaton, `{"x":"${"a".repeat(20)}b"}`)).toBe(true);
  expect(() => accepts(automaton, `{"x":"${"a".repeat(200)}"}`)).toThrow("wide: #/properties/x/pattern");
  // Thousands of ways to go on from each of thousands of places.
  const stars = automatonOf({ type: "string", pattern: `^${"a*".repeat(2000)}b$` });
  expect(() => accepts(stars, '"aab"')).toThrow("wide: #/pattern");
});

/** Tokens of all bytes alone, of one to four of some letters, and of many letters with the end of a string. */
function vocabularyTokens(): Uint8Array[] {
  const letters = ["a", "b", "1", '"', ",", "[", "]", "é", "x"];
  const tokens = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte));
  let texts = [""];
  for (let length = 1; length <= 4; length++) {
    texts = texts.flatMap((text) => letters.map((letter) => text + letter));
    if (length > 1) tokens.push(...texts.map((text) => encoder.encode(text)));
  }
  for (let length = 5; length < LONGEST_TOKEN; length++) tokens.push(encoder.encode(`${"a".repeat(length)}"`));
  return tokens;
}

const tokens = vocabularyTokens();
const vocabulary = atOnce(Vocabulary.build([...tokens, undefined]));
const END = tokens.length;

const OVERLAPPING: JsonSchema[] = [
  { type: "string", pattern: "^[^x]*a[^x]{45}$" },
  { type: "string", pattern: "^(a|b)*a(a|b){40}$" },
  { type: "string", pattern: "^(a[^b]{33,50}|a[^1]{34}b|(ab?){2,60})$" },
  { type: "string", minLength: 40, maxLength: 90 },
  { type: "array", items: { enum: ["a", "b", "ab", 1, 11] }, minItems: 36, maxItems: 70 },
  {
    anyOf: [
      { type: "string", minLength: 50 },
      { type: "string", maxLength: 3 },
      { type: "array", minItems: 2 },
    ],
  },
];

const constraintFor = async (schema: JsonSchema, mostBytes = 100e6): Promise<AnswerConstraint> =>
  (await newConstraint(schema, vocabulary, new KeptMemory(mostBytes, 4)))!;

/** The tokens of an answer of a model that knows nothing. @param look told of each set of allowed tokens */
async function answerOf(
  constraint: AnswerConstraint,
  most: number,
  seed: number,
  look?: (written: readonly number[], allowed: readonly number[]) => void,
): Promise<number[]> {
  const random = randomFor(seed, "answer");
  const written: number[] = [];
  let held = constraint.begin();
  while (written.length < most && written.at(-1) !== END && !held.isWhole) {
    const scores = new Float32Array(END + 1);
    (await held.allowed())!.apply(scores, most - written.length, [END]);
    const allowed = [...scores.keys()].filter((token) => scores[token] === 0);
    look?.(written, allowed);
    written.push(allowed[uniformInt(random, 0, allowed.length - 1)]!);
    held = (await held.with(written.at(-1)!))!;
  }
  return written;
}

describe.each(OVERLAPPING.map((schema) => [JSON.stringify(schema), schema] as const))("%s", (_, schema) => {
  test("all tokens are allowed that a valid answer can go on with, and no others", async () => {
    const automaton = automatonOf(schema);
    const constraint = await constraintFor(schema);
    const seen: number[] = [];
    for (const seed of [1, 2, 3]) {
      await answerOf(constraint, 1000, seed, (written, allowed) => {
        const state = written.reduce<State | null>(
          (before, token) => readOn(automaton, before, tokens[token]!),
          automaton.start(),
        )!;
        const possible = tokens.flatMap((bytes, token) => (readOn(automaton, state, bytes) ? [token] : []));
        expect(allowed).toEqual([...possible, ...(automaton.ends(state) ? [END] : [])]);
        seen.push(allowed.length);
      });
    }
    expect(Math.max(...seen)).toBeGreaterThan(Math.min(...seen));
  });

  test("answers end in time, and are the same if all is forgotten meanwhile", async () => {
    const automaton = automatonOf(schema);
    for (const most of [60, 83]) {
      const [written, again] = await Promise.all(
        [100e6, 200e3].map(async (bytes) => answerOf(await constraintFor(schema, bytes), most, most)),
      );
      expect(accepts(automaton, vocabulary.textOf(written!))).toBe(true);
      expect(again).toEqual(written);
    }
  });
});

/** Takes many steps for each token: each of its patterns goes on in its own way. */
const COSTLY: JsonSchema = {
  anyOf: Array.from({ length: 300 }, (_, i) => ({
    type: "string",
    pattern: `^[^x]*[^${"ab1,[é"[i % 6]}]{${i % 30}}${i}$`,
  })),
};

describe("computing gives way to others", () => {
  test("between its slices, and ends if nobody waits", async () => {
    let isLeft = false;
    setTimeout(() => {
      isLeft = true;
    });
    function* endless(): Generator<void, number> {
      while (!isLeft || isLeft) yield;
      return 1;
    }
    expect(await inSlices(endless(), () => isLeft)).toBeUndefined();
  });

  test("while a schema is compiled", async () => {
    const schema = { anyOf: Array.from({ length: 60_000 }, (_, i) => ({ type: "string", maxLength: i % 99 })) };
    expect(await newConstraint(schema, vocabulary, new KeptMemory(1e6, 1), () => true)).toBeUndefined();
  });

  test("while it looks for what a token may be", async () => {
    const constraint = await constraintFor(COSTLY);
    let turns = 0;
    const begun = await constraint.begin().with(tokens.findIndex(([byte]) => byte === 0x22));
    expect(await begun!.allowed(() => ++turns === 3)).toBeUndefined();
    expect(turns).toBe(3);
  });

  test("while a byte is read that a pattern's counts explain in thousands of ways", () => {
    const automaton = automatonOf({ type: "string", pattern: "^((a+a{0,200}){1,200}b?){1,200}$" });
    const { steps } = automaton;
    let [longest, state] = [0, automaton.start()];
    for (const byte of encoder.encode(`"${"a".repeat(30)}`)) {
      for (const computing of [automaton.near(state), automaton.step(state, byte)]) {
        let found: IteratorResult<void, State | null>;
        do {
          const before = steps.count;
          found = computing.next();
          longest = Math.max(longest, steps.count - before);
        } while (!found.done);
        state = found.value!;
      }
    }
    expect(state.continuations.length).toBeGreaterThan(1000);
    expect(longest).toBeLessThan(20_000);
  });

  test("while a class of many characters is read", () => {
    const letters = Array.from({ length: 3000 }, (_, i) => String.fromCodePoint(0x4e00 + 2 * i)).join("");
    const reading = grammarOfSchema({ type: "string", pattern: `^[${letters}]$` });
    let pauses = 0;
    while (!reading.next().done) pauses++;
    expect(pauses).toBeGreaterThan(3000);
  });

  test("and while a long pattern is read", async () => {
    const pattern = `^${".".repeat(9_000)}$`;
    let turns = 0;
    const reading = inSlices(grammarOfSchema({ type: "string", pattern }), () => {
      turns++;
      return false;
    });
    await expect(reading).rejects.toThrow("the JSON schema is too large");
    expect(turns).toBeGreaterThan(0);
  });

  test("and a schema that takes too many steps is refused by its place", async () => {
    const constraint = await constraintFor({ type: "array", items: COSTLY, minItems: 1 });
    const trying = constraint.refuseUnlessPossible(500);
    await expect(trying).rejects.toThrow("the JSON schema's #/items/anyOf takes too long to follow");
    await expect(trying).rejects.toBeInstanceOf(UserError);
    const slices: boolean[] = [];
    const again = constraint.refuseUnlessPossible(500, () => slices.push(true) < 0);
    await expect(again).rejects.toThrow("takes too long to follow");
    expect(slices, "the refusal is remembered").toEqual([]);
  });
});

test("those that computed last keep what they have, within the bound", () => {
  const memory = new KeptMemory(100, 3);
  const keeper = (bytes: number) => ({
    bytes,
    forget() {
      this.bytes = 0;
    },
  });
  const [a, b, c, d] = [keeper(40), keeper(40), keeper(30), keeper(60)] as const;
  for (const each of [a, b, a, c]) memory.noteUse(each);
  expect([a.bytes, b.bytes, c.bytes]).toEqual([40, 0, 30]);
  memory.noteUse(d);
  expect([a.bytes, c.bytes, d.bytes]).toEqual([40, 30, 0]);
  memory.noteUse(keeper(1));
  expect([a.bytes, c.bytes]).toEqual([0, 30]);
});

test("a vocabulary is a tree of its tokens' bytes", () => {
  const bytes = fc.uint8Array({ maxLength: 5, max: 4 });
  fc.assert(
    fc.property(fc.array(fc.option(bytes, { nil: undefined }), { maxLength: 80 }), (given) => {
      // A token for each byte, so that none is left out for beginning a character.
      const all = [...given, ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte))];
      const { byteOf, depthOf, endOf, firstOf, tokens: sorted } = atOnce(Vocabulary.build(all));
      const found: [number, number[]][] = [];
      const path: number[] = [];
      for (let node = 0; node < byteOf.length; node++) {
        path.length = depthOf[node]!;
        if (node > 0) path[depthOf[node]! - 1] = byteOf[node]!;
        for (let i = firstOf[node]!; i < firstOf[node + 1]!; i++) found.push([sorted[i]!, [...path]]);
        const last = [...depthOf.subarray(node + 1)].findIndex((depth) => depth <= depthOf[node]!);
        expect(endOf[node]).toBe(last < 0 ? byteOf.length : node + 1 + last);
      }
      const expected = all.flatMap((each, id) => (each?.length ? [[id, [...each]]] : []));
      expect(found.sort(([a], [b]) => a - b)).toEqual(expected);
    }),
    { numRuns: 15 },
  );
});
