import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { modelFiles } from "../../src/checkpoints/model-folder-node.ts";
import { parseTable } from "../../src/datasets/parse-table.ts";
import { UserError } from "../../src/errors.ts";
import { loadTokenizer } from "../../src/inputs/load-tokenizer.ts";
import type { Tokenizer } from "../../src/inputs/tokenizer.ts";
import { sequenceToSequence } from "../../src/tasks/kinds/sequence-to-sequence.ts";
import { scoreAnswers } from "../../src/tasks/metrics/answers.ts";
import { sentencesOf } from "../../src/tasks/metrics/sentences.ts";
import { recognizeTable } from "../../src/tasks/task-kinds.ts";
import { writeTinyEncoderDecoder } from "../support/synthetic-rewriting.ts";

const tableOf = (...columns: string[]) =>
  parseTable(`${columns.join(",")}\n${columns.map(() => "x").join(",")}\n`, "rows.csv", "csv");
const columnsIn = sequenceToSequence.columnsIn!;

describe("columns", () => {
  test.each([
    [["document", "summary"], "document", "summary"],
    [["id", "article", "highlights"], "article", "highlights"],
    [["fname", "dialogue", "summary", "topic"], "dialogue", "summary"],
  ])("%j tell the kind, the text and what is to be written", (columns, text, label) => {
    const table = tableOf(...columns);
    expect(recognizeTable(table, {})).toBe(sequenceToSequence);
    expect(columnsIn(table, {})).toEqual({ text, label });
  });

  test("do not identify the kind if there is a label column", () => {
    expect(recognizeTable(tableOf("text", "summary", "label"), {})).not.toBe(sequenceToSequence);
  });

  test("any two columns work, by their order or by name", () => {
    expect(columnsIn(tableOf("long", "short"), {})).toEqual({ text: "long", label: "short" });
    expect(columnsIn(tableOf("short", "long"), { text: "long" })).toEqual({ text: "long", label: "short" });
    expect(columnsIn(tableOf("id", "long", "short"), { text: "long", label: "short" })).toEqual({
      text: "long",
      label: "short",
    });
    // Texts to predict for have no target.
    expect(columnsIn(tableOf("document"), {})).toEqual({ text: "document", label: "summary" });
  });

  test("others must be named", () => {
    expect(() => columnsIn(tableOf("a", "b", "c"), {})).toThrow(
      new UserError(
        'rows.csv has the columns a, b, c; name the column of the text with option "text" and that of the target with option "label"',
      ),
    );
    expect(() => columnsIn(tableOf("a", "b"), { textPair: "b" })).toThrow(/leave option "textPair" out/);
  });
});

describe("examples", () => {
  let home: string;
  let tokenizer: Tokenizer;
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), "aflora-rewriting-"));
    tokenizer = await loadTokenizer(await modelFiles(await writeTinyEncoderDecoder(home, "bart")));
  });
  afterAll(() => rm(home, { recursive: true }));

  const encode = (text: string, textPair: string, options = {}, maxLength = 32) => {
    const encoded = sequenceToSequence.encode({ index: 0, text, textPair }, tokenizer, maxLength, options);
    const { targets } = sequenceToSequence.targets({ index: 0, text }, encoded, []);
    const textOf = (ids: ArrayLike<number>) => tokenizer.decode(Array.from(ids));
    return {
      text: textOf(encoded.encoding.inputIds),
      decoder: textOf(encoded.decoder!.inputIds),
      target: textOf(targets.data as Int32Array),
      rows: [...encoded.rows!],
      cut: [encoded.cut, encoded.decoderCut],
    };
  };

  test("the decoder begins with its start token and reads the target one position later", () => {
    expect(encode("ant bee", "bee ant")).toEqual({
      text: "<s> ant bee </s>",
      decoder: "</s> <s> bee ant",
      target: "<s> bee ant </s>",
      rows: [0, 1, 2, 3],
      cut: [false, false],
    });
  });

  test("each text gets the prefix, and both texts are truncated but keep their end tokens", () => {
    expect(
      encode("ant bee cat", "cat bee ant", { prefix: "reverse ", maxTargetLength: 4, truncate: "end" }, 5),
    ).toEqual({
      text: "<s> reverse ant bee </s>",
      decoder: "</s> <s> cat bee",
      target: "<s> cat bee </s>",
      rows: [0, 1, 2, 3],
      cut: [true, true],
    });
  });

  test("the preview before training shows the text and, marked, its target", () => {
    const encoded = sequenceToSequence.encode({ index: 0, text: "ant", textPair: "ANT" }, tokenizer, 32);
    expect(sequenceToSequence.writing!.countedParts!(encoded, tokenizer)).toEqual([
      { text: "<s> ant </s> → ", counts: false },
      { text: "<s> ANT </s>", counts: true },
    ]);
  });
});

test("sentences end at their punctuation and at line ends; the first three are the baseline summary", () => {
  const text = "Dr. No came in. It rained!\nA: Is that so?\nB: Yes 3.5 times. Enough.";
  expect(sentencesOf(text).slice(-4)).toEqual(["It rained!", "A: Is that so?", "B: Yes 3.5 times.", "Enough."]);
  expect(sequenceToSequence.writing!.baselines!.lead3!("One. Two.\nThree. Four.")).toBe("One.\nTwo.\nThree.");
});

test("ROUGE-Lsum splits texts into sentences on request", () => {
  const [answer, reference] = ["Bob came. Ann went.", "Ann went. Bob came."];
  const whole = scoreAnswers([answer], [reference]);
  const split = scoreAnswers([answer], [reference], { splitSentences: true });
  expect(whole.rougeLsum).toBe(0.5);
  expect(split.rougeLsum).toBe(1);
  expect({ ...split, rougeLsum: 0 }).toEqual({ ...whole, rougeLsum: 0 });
});
