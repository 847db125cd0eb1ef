import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { modelFiles } from "../../src/checkpoints/model-folder-node.ts";
import { loadTokenizer } from "../../src/inputs/load-tokenizer.ts";
import type { Tokenizer } from "../../src/inputs/tokenizer.ts";
import type { Example } from "../../src/tasks/example.ts";
import { languageModel } from "../../src/tasks/kinds/language-model.ts";
import { sequenceToSequence } from "../../src/tasks/kinds/sequence-to-sequence.ts";
import { shortenUntilFits } from "../../src/tasks/shortened-prompt.ts";
import { writeTinyEncoderDecoder } from "../support/synthetic-rewriting.ts";
import { writeTinyLanguageModel } from "../support/tiny-language-model.ts";

let home: string;
let chat: Tokenizer;
let plain: Tokenizer;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-shortened-"));
  const tokenizerOf = async (model: Promise<string>) => loadTokenizer(await modelFiles(await model));
  chat = await tokenizerOf(writeTinyLanguageModel(join(home, "chat")));
  plain = await tokenizerOf(writeTinyLanguageModel(join(home, "plain"), { template: null }));
});
afterAll(() => rm(home, { recursive: true }));

/** The text, its counted part, and its length. */
function read(example: Omit<Example, "index">, tokenizer: Tokenizer, maxLength: number, options = {}) {
  const encoded = languageModel.encode({ index: 0, ...example }, tokenizer, maxLength, options);
  const parts = encoded.rows!.length > 0 ? languageModel.writing!.countedParts!(encoded, tokenizer) : [];
  return {
    text: tokenizer.decode([...encoded.encoding.inputIds]),
    counted: parts.filter(({ counts }) => counts).map(({ text }) => text),
    tokens: encoded.encoding.inputIds.length,
    cut: encoded.cut,
  };
}

const LONG = `FIRST ${"the cat ".repeat(60)}LAST`;

describe.each([
  ["with a template", () => chat],
  ["without one", () => plain],
])("a prompt that is too long, %s,", (_, tokenizerOf) => {
  test.each([
    ["middle", true, true],
    ["start", false, true],
    ["end", true, false],
  ])("loses its %s; what frames it and the answer stay whole", (truncate, hasFirst, hasLast) => {
    const example = { text: LONG, textPair: "So it is." };
    const whole = read(example, tokenizerOf(), 1000);
    const found = read(example, tokenizerOf(), 100, { truncate });
    expect(found.counted).toEqual(whole.counted);
    expect(whole.cut).toBe(false);
    expect(found.cut).toBe(true);
    expect(found.tokens).toBeLessThanOrEqual(100);
    expect(found.tokens).toBeGreaterThan(94);
    expect([found.text.includes("FIRST"), found.text.includes("LAST")]).toEqual([hasFirst, hasLast]);
    expect(found.text.includes(" ... ")).toBe(truncate === "middle");
    const end = whole.text.slice(whole.text.indexOf("LAST") + 4);
    expect(found.text.endsWith(end)).toBe(true);
    if (hasFirst) expect(found.text.startsWith(whole.text.slice(0, whole.text.indexOf("FIRST") + 5))).toBe(true);
  });

  test("is left out if the answer alone is too long; a text without a prompt loses its end", () => {
    const tokenizer = tokenizerOf();
    expect(read({ text: "How?", textPair: LONG }, tokenizer, 100)).toMatchObject({ counted: [], cut: true });
    const text = languageModel.encode({ index: 0, text: LONG }, tokenizer, 50);
    expect(text.encoding.inputIds).toEqual(
      languageModel.encode({ index: 0, text: LONG }, tokenizer, 1000).encoding.inputIds.slice(0, 50),
    );
    expect(text.rows).toHaveLength(49);
  });
});

describe("a conversation", () => {
  const turn = (role: string, content: string) => ({ role, content });
  const messages = [
    turn("system", "Be brief."),
    turn("user", "Where is the cat?"),
    turn("assistant", "On the mat."),
    turn("user", LONG),
    turn("assistant", "So it is."),
  ];
  const example = { text: "", messages };

  test("first loses tokens of its longest turn", () => {
    const whole = read(example, chat, 1000);
    const { text, counted, tokens } = read(example, chat, 160);
    expect(counted).toEqual(whole.counted);
    expect(text).toContain("Be brief.");
    expect(text).toContain("Where is the cat?");
    expect(text).toMatch(/FIRST.* \.\.\. .*LAST/s);
    expect(tokens).toBeLessThanOrEqual(160);
  });

  test("loses its first turns if its prompts are too short, but never its last answer", () => {
    const turns = Array.from({ length: 12 }, (_, i) => [
      turn("user", `Question ${i}?`),
      turn("assistant", `Answer ${i}, ${"that is all ".repeat(3)}.`),
    ]).flat();
    const { text, counted } = read({ text: "", messages: [messages[0]!, ...turns] }, chat, 160);
    expect(text).toContain("Be brief.");
    expect(text).not.toContain("Question 0?");
    expect(counted.at(-1)).toContain("Answer 11,");
    expect(counted.length).toBeGreaterThan(1);
    for (const answer of counted) expect(answer).toContain("<|im_end|>");
  });

  test("whose last answer alone counts treats the other answers as prompts", () => {
    const asked = [turn("user", "Hm?"), turn("assistant", LONG), turn("user", "And?"), turn("assistant", "So it is.")];
    const { text, counted } = read({ text: "", messages: asked }, chat, 100, { lossOn: "last" });
    expect(counted).toEqual(["So it is.<|im_end|>"]);
    expect(text).toMatch(/FIRST.* \.\.\. .*LAST/s);
  });
});

test("an encoder-decoder's input is shortened", async () => {
  const tokenizer = await loadTokenizer(await modelFiles(await writeTinyEncoderDecoder(join(home, "bart"), "bart")));
  const encode = (options: Record<string, unknown>) => {
    const text = `ant ${"bee ".repeat(30)}cat`;
    const { encoding, cut } = sequenceToSequence.encode({ index: 0, text, textPair: "bee" }, tokenizer, 12, options);
    expect([encoding.inputIds.length <= 12, cut]).toEqual([true, true]);
    return tokenizer.decode([...encoding.inputIds]);
  };
  expect(encode({})).toMatch(/^<s> ant bee .*bee cat <\/s>$/);
  expect(encode({ truncate: "start" })).toMatch(/^<s> bee bee .*bee cat <\/s>$/);
  expect(encode({ truncate: "end" })).toMatch(/^<s> ant bee .*bee bee <\/s>$/);
});

test("a text that is shortened keeps every token that fits, without one lost or doubled at the cut", () => {
  const text = "0123456789".repeat(4);
  const ids = plain.idsOf(text);
  const kept = (truncate: "start" | "middle" | "end", most: number): string => {
    const excessOf = (shown: string) => plain.idsOf(shown).length - most;
    return shortenUntilFits([text], truncate, plain, ([shown]) => shown!, excessOf)!;
  };
  const differences = new Set<number>();
  for (const most of [11, 12, 13, 14, 15]) {
    expect(kept("start", most)).toBe(plain.decode(ids.slice(ids.length - most)));
    expect(kept("end", most)).toBe(plain.decode(ids.slice(0, most)));
    const [first, last] = kept("middle", most).split(" ... ") as [string, string];
    const [before, behind] = [first, last].map((part) => plain.idsOf(part).length) as [number, number];
    expect(first).toBe(plain.decode(ids.slice(0, before)));
    expect(last).toBe(plain.decode(ids.slice(ids.length - behind)));
    differences.add(before - behind);
  }
  // The half before the gap has one token more if their number is odd.
  expect([...differences].toSorted()).toEqual([0, 1]);
});
