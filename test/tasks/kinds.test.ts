import { describe, expect, test } from "vitest";
import { UserError } from "../../src/errors.ts";
import type { TaskData } from "../../src/tasks/example.ts";
import { embedding } from "../../src/tasks/kinds/embedding.ts";
import { languageModel } from "../../src/tasks/kinds/language-model.ts";
import { bestThreshold, multiLabel } from "../../src/tasks/kinds/multi-label.ts";
import { regression } from "../../src/tasks/kinds/regression.ts";
import { reranker } from "../../src/tasks/kinds/reranker.ts";
import { tokenClassification } from "../../src/tasks/kinds/token-classification.ts";
import type { Table } from "../../src/tasks/rows.ts";
import { recognizeColumns } from "../../src/tasks/task-kinds.ts";

const table = (columns: string[], ...rows: unknown[][]): Table => ({
  source: "a.jsonl",
  columns,
  rows: rows.map((cells, i) => ({ line: i + 1, cells })),
});

const taskOf = (options: TaskData["options"]): TaskData => ({
  ...{ name: "custom", kind: "", labels: [], train: [], validation: [], metrics: [] },
  options: options!,
});

test("a regression with few pairs of texts suggests embeddings", () => {
  const pairs = (count: number) =>
    Array.from({ length: count }, (_, index) => ({ index, text: "a", textPair: "b", label: 1 }));
  expect(regression.notesOf!(pairs(400), [], {})).toEqual([
    expect.stringMatching(/option "kind" embedding needs far fewer rows/),
  ]);
  expect(regression.notesOf!(pairs(5749), [], {})).toEqual([]);
  expect(regression.notesOf!([{ index: 0, text: "a", label: 1 }], [], {})).toEqual([]);
});

describe("several labels", () => {
  const logits = Float32Array.of(-0.5, -2, 3);
  const predicted = (options?: Record<string, unknown>) =>
    multiLabel.predict(["a", "b", "c"], {} as never, {} as never, logits, options).labels;

  test("are those above the task's threshold (default: one half)", () => {
    expect(predicted()).toEqual([2]);
    expect(predicted({ labelThreshold: 0.3 })).toEqual([0, 2]);
    expect(
      multiLabel.describe(["a", "b", "c"], {} as never, {} as never, logits, { labelThreshold: 0.3 }),
    ).toMatchObject({
      predicted: ["a", "c"],
    });
  });

  test("do not change if outputs are divided by a temperature", () => {
    for (const labelThreshold of [0.2, 0.3775, 0.3776, 0.6]) {
      const scaled = multiLabel.threshold!.withTemperature({ labelThreshold }, 2.5);
      const found = multiLabel.predict(
        [],
        {} as never,
        {} as never,
        logits.map((value) => value / 2.5),
        scaled,
      ).labels;
      expect(found).toEqual(predicted({ labelThreshold }));
    }
  });

  test("have a threshold of half of the expected F1", () => {
    // With a quarter each, it is best to predict all: F1 = 2 · 0.25 / (1 + 0.25).
    expect(bestThreshold([0.25, 0.25, 0.25, 0.25])).toBeCloseTo(0.2);
    expect(bestThreshold([1, 0, 1])).toBeCloseTo(0.5);
    // Tries every threshold.
    const shares = [0.9, 0.7, 0.4, 0.35, 0.1, 0.05];
    const expected = (least: number) => {
      const taken = shares.filter((share) => share > least);
      return (2 * taken.reduce((sum, share) => sum + share, 0)) / (taken.length + 2.5);
    };
    const tried = Array.from({ length: 99 }, (_, i) => expected((i + 1) / 100));
    expect(expected(bestThreshold(shares))).toBeCloseTo(Math.max(...tried));
  });
});

describe("an embedding", () => {
  const options = (given: object) =>
    embedding.optionsFor!(given, taskOf({ rows: "pairs" }), { hiddenSize: 64 } as never);

  test("can be truncated to sizes that the model has, largest first, without duplicates", () => {
    expect(options({ dimensions: "16, 64,32,16" })).toMatchObject({ dimensions: [64, 32, 16] });
    expect(() => options({ dimensions: "65" })).toThrow(/option "dimensions" 65 is more than the 64/);
    expect(() => options({ dimensions: "1.5" })).toThrow(/takes whole numbers/);
    expect(() => options({ dimensions: "0" })).toThrow(/takes whole numbers/);
  });

  test("notes pairs of equal texts, which teach nothing", () => {
    const pair = (text: string, other: string) => ({ index: 0, text, texts: [other] });
    expect(embedding.notesOf!([pair("a", "b")], [], {})).toEqual([]);
    const notes = embedding.notesOf!([pair("a", "a"), pair("a", "b")], [], {});
    expect(notes).toEqual([expect.stringMatching(/^1 of 2 examples/)]);
  });

  test("requires a single text", () => {
    expect(embedding.exampleOfInput({ text: "a" })).toEqual({ text: "a" });
    expect(() => embedding.exampleOfInput({ text: "a", textPair: "b" })).toThrow(UserError);
  });
});

describe("a reranker", () => {
  const rowsOf = (...rows: unknown[][]) => reranker.table!.read(table(["query", "passage", "label"], ...rows), {});

  test("has ranking metrics if a query has both relevant and other passages", () => {
    const both = rowsOf(["q", "a", 1], ["q", "b", 0], ["r", "c", 1]);
    expect(both.metrics).toEqual(["ndcg_at_10", "mrr_at_10", "map", "average_precision"]);
    expect(rowsOf(["q", "a", 1], ["r", "b", 0]).metrics).toEqual(["average_precision"]);
  });

  test("has the loss of its type of rows, and scores pairs", () => {
    const { options } = rowsOf(["q", "a", 1], ["q", "b", 0]);
    const found = reranker.optionsFor!({}, taskOf(options), {} as never);
    expect(found).toMatchObject({ loss: "binary-cross-entropy" });
    expect(() => reranker.exampleOfInput({ text: "a" })).toThrow(/give both texts/);
  });
});

test("tags must be BIO tags", () => {
  const labelsOf = (tag: string) =>
    tokenClassification.labelsIn!(table(["text", "label"], [["a"], [tag]], [["b"], ["O"]]), "label");
  expect(labelsOf("B-PER")).toContain("B-PER");
  expect(() => labelsOf("X-PER")).toThrow(/"X-PER" is not a BIO tag/);
});

test("given words are kept with the text", () => {
  const cell = (value: unknown) => ({ value, place: "a.jsonl, line 1", column: "text" });
  expect(tokenClassification.exampleOfRow({ text: cell("a b") }, [])).toStrictEqual({ text: "a b" });
  expect(tokenClassification.exampleOfRow({ text: cell(["a", "b"]) }, [])).toStrictEqual({
    text: "a b",
    words: ["a", "b"],
  });
});

test("a language model recognizes texts, prompts with completions, and instructions by their columns", () => {
  const columnsOf = (...columns: string[]) => languageModel.columnsIn!(table(columns, columns), {});
  expect(columnsOf("text")).toStrictEqual({ text: "text" });
  expect(columnsOf("prompt", "completion")).toStrictEqual({ text: "prompt", label: "completion" });
  expect(columnsOf("instruction", "output")).toStrictEqual({ text: "instruction", label: "output" });
  expect(columnsOf("instruction", "input", "output")).toMatchObject({ textPair: "input" });
  expect(columnsOf("question", "answer")).toStrictEqual({ text: "question", label: "answer" });
});

test("questions with answers are for a language model, unless the answers recur or there are other columns", () => {
  const kindOf = (columns: string[], ...rows: string[][]) => recognizeColumns(table(columns, ...rows), {})?.name;
  expect(kindOf(["question", "answer"], ["1 + 1?", "It is 2."], ["2 + 1?", "It is 3."])).toBe("language-model");
  const judged = [
    ["Is it 2?", "yes"],
    ["Is it 3?", "no"],
    ["Is it 4?", "yes"],
    ["Is it 5?", "no"],
  ];
  expect(kindOf(["question", "answer"], ...judged)).toBeUndefined();
  expect(kindOf(["question", "answer", "context"], ["How many?", "Two.", "Two ducks."])).toBeUndefined();
  expect(kindOf(["question", "answer", "team"], ["Where is it?", "Here.", "shop"])).toBeUndefined();
});
