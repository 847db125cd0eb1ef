import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { modelFiles } from "../../src/checkpoints/model-folder-node.ts";
import { loadTokenizer } from "../../src/inputs/load-tokenizer.ts";
import type { Tokenizer } from "../../src/inputs/tokenizer.ts";
import type { Example } from "../../src/tasks/example.ts";
import { languageModel } from "../../src/tasks/kinds/language-model.ts";
import { answerOf, inTemplate, promptOf } from "../../src/tasks/prompt.ts";
import { alpacaPrompt } from "../../src/tasks/prompt-template.ts";
import { writeTinyLanguageModel } from "../support/tiny-language-model.ts";

/** What a row of math_10k.json becomes. */
const exampleOf = (instruction: string, input: string, output: string): Example => {
  const cell = (column: string, value: string) => ({ value, place: "math_10k.json, line 1", column });
  const cells = {
    text: cell("instruction", instruction),
    textPair: cell("input", input),
    label: cell("output", output),
  };
  return { index: 0, ...languageModel.exampleOfRow(cells, []) };
};
const sum = exampleOf("What is 2 plus 3?", "", "5");
const total = exampleOf("Add the numbers.", "2, 3", "5");

/** The released strings, with a dot for each space that is easy to miss: at ends of lines, and in the indentation. */
const released = (lines: readonly string[]): string => lines.join("\n").replaceAll("·", " ");
const INDENT = "·".repeat(16);
const COMPLETES = "Write a response that appropriately completes the request.";

describe("Alpaca's prompt to the letter", () => {
  test("without an input: finetune.py learns it, evaluate.py asks with it", () => {
    const first = `Below is an instruction that describes a task. ${COMPLETES}`;
    const asked = [`${INDENT}### Instruction:`, `${INDENT}What is 2 plus 3?`];
    const answered = [`${INDENT}### Response:`, INDENT];
    expect(alpacaPrompt(sum, "learn")).toBe(released([`${first}··`, "", ...asked, INDENT, ...answered]));
    expect(alpacaPrompt(sum, "answer")).toBe(released([`${first}·`, "", ...asked, "", ...answered]));
  });

  test("with an input", () => {
    const first = `Below is an instruction that describes a task, paired with an input that provides further context. ${COMPLETES}`;
    const asked = [`${INDENT}### Instruction:`, `${INDENT}Add the numbers.`];
    const input = [`${INDENT}### Input:`, `${INDENT}2, 3`];
    const answered = [`${INDENT}### Response:`, INDENT];
    expect(alpacaPrompt(total, "learn")).toBe(
      released([`${first}·`, "", ...asked, INDENT, ...input, INDENT, ...answered]),
    );
    expect(alpacaPrompt(total, "answer")).toBe(released([first, "", ...asked, "", ...input, "", ...answered]));
  });

  test("a text that was shortened within its input is one instruction", () => {
    expect(alpacaPrompt({ ...total, text: "Add the ..." }, "answer")).toBe(
      alpacaPrompt({ text: "Add the ..." }, "answer"),
    );
  });
});

describe("a language model that learns in this form", () => {
  let home: string;
  let tokenizer: Tokenizer;
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), "aflora-template-"));
    tokenizer = await loadTokenizer(await modelFiles(await writeTinyLanguageModel(home)));
  });
  afterAll(() => rm(home, { recursive: true }));

  const alpaca = { promptTemplate: "alpaca" };
  const idsOf = (example: Example, maxLength: number, options: object = {}) => [
    ...languageModel.encode(example, tokenizer, maxLength, { ...alpaca, ...options }).encoding.inputIds,
  ];

  test("reads prompt and answer as one text, without the model's own template, then the end token; cut at the limit it has none", () => {
    const text = `${alpacaPrompt(total, "learn")}5`;
    const ids = tokenizer.encode(text, undefined, 10_000).inputIds;
    const whole = [
      ...ids,
      ...(ids.at(-1) === tokenizer.specialTokens.eos!.id ? [] : [tokenizer.specialTokens.eos!.id]),
    ];
    expect(idsOf(total, 10_000, { lossOn: "all" })).toEqual(whole);
    expect(idsOf(total, 20, { lossOn: "all" })).toEqual(whole.slice(0, 20));
    expect(idsOf(total, 10_000, { promptTemplate: "chat" })).not.toEqual(whole);
  });

  test("by default learns the answer alone, and shortens what is before it", () => {
    const { rows } = languageModel.encode(sum, tokenizer, 10_000, alpaca);
    const ids = idsOf(sum, 10_000);
    const counted = ids.slice(rows![0]! + 1);
    expect(tokenizer.decode(counted)).toMatch(/^\s*5/);
    const long = exampleOf(`What is 2 plus 3? ${"Think about it well. ".repeat(40)}`, "", "5");
    expect(idsOf(long, ids.length + 10).length).toBeLessThanOrEqual(ids.length + 10);
    expect(idsOf(long, ids.length + 10).slice(-counted.length)).toEqual(counted);
  });

  test("is asked in it: examples, texts and single turns, but no further turns", () => {
    const verbatim = alpacaPrompt(total, "answer");
    expect(promptOf(total, tokenizer, alpaca)).toEqual({ verbatim });
    expect(answerOf(total)).toBe("5");
    const plain = { verbatim: alpacaPrompt({ text: "How many?" }, "answer") };
    expect(inTemplate("How many?", alpaca)).toEqual(plain);
    const turn = { role: "user", content: "How many?" } as const;
    expect(inTemplate([turn], alpaca)).toEqual(plain);
    expect(inTemplate({ verbatim: "as it is" }, alpaca)).toEqual({ verbatim: "as it is" });
    expect(inTemplate("How many?", {})).toBe("How many?");
    expect(() => inTemplate([turn, { role: "assistant", content: "5" }, turn], alpaca)).toThrow(
      "the model learned single instructions and does not read earlier turns; ask with a single text, or begin again",
    );
  });

  test("learns from no conversations", () => {
    const messages = [{ role: "assistant", content: "Hello!" }] as const;
    expect(() => idsOf({ index: 0, text: "", messages, place: "chat.jsonl, line 2" }, 100)).toThrow(
      'chat.jsonl, line 2 is a conversation, but option "promptTemplate" alpaca takes one instruction and its answer; leave it out',
    );
  });
});
