import { expect, test } from "vitest";
import type { Example, Prediction } from "../../src/tasks/example.ts";
import { findTaskKind } from "../../src/tasks/task-kinds.ts";

/** The tables of a kind by their titles. */
function tablesOf(kind: string, predictions: Prediction[], examples: Partial<Example>[], labels: string[] = []) {
  const whole = examples.map((each, index) => ({ index, text: `text ${index}`, ...each }));
  const found = findTaskKind(kind).review!.findings!(predictions, whole, labels);
  return Object.fromEntries(found.map(({ title, rows }) => [title, rows]));
}

test("of classes: the pairs that are confused most, the surest wrong answers, and the worst class first", () => {
  const labels = ["a", "b", "c"];
  const truth = [0, 0, 0, 1, 2];
  const answers = [
    { label: 1, probability: 0.6 },
    { label: 1, probability: 0.9 },
    { label: 0, probability: 1 },
    { label: 2, probability: 0.7 },
    { label: 2, probability: 0.99 },
  ];
  const examples = truth.map((label) => ({ label }));
  expect(tablesOf("classification", answers, examples, labels)).toEqual({
    "Most confused labels": [
      ["a", "b", 2],
      ["b", "c", 1],
    ],
    "Surest wrong answers": [
      ["text 1", "a", "b", 0.9],
      ["text 3", "b", "c", 0.7],
      ["text 0", "a", "b", 0.6],
    ],
    "Scores per label, the lowest F1 first": [
      ["b", 1, 0, 0, 0],
      ["a", 3, 1, 0.333, 0.5],
      ["c", 1, 0.5, 1, 0.667],
    ],
  });
  const right = tablesOf("classification", [{ label: 0, probability: 1 }], [{ label: 0 }], labels);
  expect(Object.keys(right)).toEqual(["Scores per label, the lowest F1 first"]);
});

test("of numbers: those that lie furthest from the truth", () => {
  const [first] = findTaskKind("regression").review!.findings!(
    [{ label: 1.5 }, { label: 9 }],
    [
      { index: 0, text: "one", label: 1 },
      { index: 1, text: "five", textPair: "5", label: 5 },
    ],
    [],
  );
  expect(first!.points).toEqual([
    [1, 1.5],
    [5, 9],
  ]);
  expect(first!.rows).toEqual([
    ["five | 5", 5, 9, 4],
    ["one", 1, 1.5, 0.5],
  ]);
});

test("of several labels: the texts with most wrong labels", () => {
  const found = tablesOf(
    "multi-label",
    [{ labels: [0] }, { labels: [] }],
    [{ labels: [0] }, { labels: [0, 1] }],
    ["a", "b"],
  );
  expect(found["Texts with the most wrong labels"]).toEqual([["text 1", "a; b", "none", 2]]);
  expect(found["Scores per label, the lowest F1 first"]).toEqual([
    ["b", 1, 0, 0, 0],
    ["a", 2, 1, 0.5, 0.667],
  ]);
});

test("of tags: scores per entity, and entities that were missed, invented or of another type", () => {
  const labels = ["B-LOC", "B-PER", "I-PER", "O"];
  const words = ["Ada", "Lovelace", "saw", "Rome"];
  const found = tablesOf("token-classification", [{ labels: [1, 2, 0, 1] }], [{ words, labels: [1, 2, 3, 0] }], labels);
  expect(found["Entities that are wrong"]).toEqual([
    ["Rome", "LOC", "PER", "Ada Lovelace saw Rome"],
    ["saw", "none", "LOC", "Ada Lovelace saw Rome"],
  ]);
  expect(found["Scores per entity, the lowest F1 first"]).toEqual([
    ["LOC", 1, 0, 0, 0],
    ["PER", 1, 0.5, 1, 0.667],
  ]);
});

test("of embeddings: queries for which another text comes first, the worst rank first", () => {
  const vector = (...values: number[]) => Float32Array.from(values);
  const pairs: [string, string, Float32Array, Float32Array][] = [
    ["red?", "red", vector(1, 0), vector(1, 0.1)],
    ["blue?", "blue", vector(1, 0.05), vector(0, 1)],
  ];
  const found = tablesOf(
    "embedding",
    pairs.map(([, , query, text]) => ({ vectors: [query, text] })),
    pairs.map(([text, positive]) => ({ text, texts: [positive] })),
  );
  expect(found).toEqual({ "Queries for which another text comes first": [["blue?", "blue", 2, "red"]] });
});

test("of rerankers: queries for which another passage comes first; without such passages, scores beside labels", () => {
  const scored = (...logits: number[]) => ({ label: logits[0]!, vectors: logits.map((each) => Float32Array.of(each)) });
  const title = "Queries for which a passage that does not answer comes first, the largest margin of logits first";
  const lists = [
    { text: "near", textPair: "yes", texts: ["no", "never"] },
    { text: "far", textPair: "yes", texts: ["no"] },
    { text: "right", textPair: "yes", texts: ["no"] },
  ];
  expect(tablesOf("reranker", [scored(0, -1, 1), scored(-2, 3), scored(1, 0)], lists)).toEqual({
    [title]: [
      ["far", "yes", "no", 5],
      ["near", "yes", "never", 1],
    ],
  });
  const graded = [
    { text: "a", textPair: "passage", label: 1 },
    { text: "b", textPair: "passage", label: 0 },
  ];
  expect(tablesOf("reranker", [scored(0), scored(-9)], graded)).toEqual({
    "Predicted and true values, largest differences first": [
      ["a | passage", 1, 0.5, -0.5],
      ["b | passage", 0, 0, 0],
    ],
  });
});

test("of reward models: pairs whose rejected answer has the higher reward, of texts and of conversations", () => {
  const rewards = (...values: number[]) => ({ vectors: values.map((each) => Float32Array.of(each)) });
  const asked = { role: "user", content: "hi" };
  const pairs = [
    { text: "hello", textPair: "kind", texts: ["rude"] },
    { text: "hi", messages: [asked, { role: "assistant", content: "kind" }], texts: ["rude"] },
    { text: "bye", textPair: "kind", texts: ["rude"] },
  ];
  expect(tablesOf("reward", [rewards(0, 1), rewards(-1, 1), rewards(1, 0)], pairs)).toEqual({
    "Pairs whose rejected answer has the higher reward, the largest margin first": [
      ["hi", "kind", "rude", 2],
      ["hello", "kind", "rude", 1],
    ],
  });
});
