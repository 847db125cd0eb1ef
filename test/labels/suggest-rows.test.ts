import { describe, expect, test } from "vitest";
import { fitClassifier } from "../../src/labels/frozen-classifier.ts";
import { doubtOf, suggestRows } from "../../src/labels/suggest-rows.ts";
import { argmax } from "../../src/tasks/probabilities.ts";
import { unitVector } from "../../src/tasks/vectors.ts";
import { runtime } from "../support/runtime.ts";

/** Rows around four directions of eight: `row % 4` is the group. */
const vectors = Array.from({ length: 80 }, (_, row) =>
  unitVector(Float32Array.from({ length: 8 }, (_, i) => (i === row % 4 ? 1 : 0.2 * Math.sin(13 * row + 7 * i)))),
);
const groupsOf = (rows: readonly number[]): number[] => rows.map((row) => row % 4).sort();

describe("rows to label next", () => {
  test("differ from each other if there is no model", () => {
    expect(groupsOf(suggestRows(vectors, 4))).toEqual([0, 1, 2, 3]);
    expect(new Set(groupsOf(suggestRows(vectors, 8)))).toEqual(new Set([0, 1, 2, 3]));
  });

  test("are those that a model doubts, with most doubt first", () => {
    const doubts = vectors.map((_, row) => (row % 4 === 1 ? 0.5 : row % 4 === 2 ? 0.6 : 0));
    expect(suggestRows(vectors, 2, doubts).map((row) => row % 4)).toEqual([2, 1]);
    expect(new Set(groupsOf(suggestRows(vectors, 6, doubts)))).toEqual(new Set([1, 2]));
  });

  test("are the same for the same rows, each once, and all if there are no more", () => {
    expect(suggestRows(vectors, 7)).toEqual(suggestRows(vectors, 7));
    expect(suggestRows(vectors.slice(0, 3), 5).sort()).toEqual([0, 1, 2]);
    const alike = [...Array(6)].map(() => vectors[0]!);
    expect(suggestRows(alike, 4).length).toBe(4);
    expect(new Set(suggestRows(alike, 4)).size).toBe(4);
  });

  test("without doubt, rows that differ are chosen", () => {
    expect(
      groupsOf(
        suggestRows(
          vectors,
          4,
          vectors.map(() => 0),
        ),
      ),
    ).toEqual([0, 1, 2, 3]);
  });
});

test("doubt is 0 for a certain class and highest for equal probabilities", () => {
  expect(doubtOf([1, 0, 0])).toBe(0);
  expect(doubtOf([0.25, 0.25, 0.25, 0.25])).toBeCloseTo(Math.log(4), 12);
  expect(doubtOf([0.5, 0.5])).toBeGreaterThan(doubtOf([0.9, 0.1]));
});

test("a classifier on frozen vectors learns their classes, with probabilities that sum to 1", async () => {
  const classes = vectors.map((_, row) => row % 4);
  const classifier = await fitClassifier(vectors.slice(0, 40), classes.slice(0, 40), 4, runtime);
  const found = vectors.slice(40).map(classifier);
  expect(found.map(argmax)).toEqual(classes.slice(40));
  for (const shares of found) expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 5);
});
