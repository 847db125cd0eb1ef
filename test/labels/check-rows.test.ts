import { describe, expect, test } from "vitest";
import { doubtfulLabels } from "../../src/labels/check-labels.ts";
import { type CheckedRow, checkRows } from "../../src/labels/check-rows.ts";
import { nearDuplicates } from "../../src/labels/near-duplicates.ts";
import { unitVector } from "../../src/tasks/vectors.ts";
import { runtime } from "../support/runtime.ts";

const LONG = "The card that I ordered three weeks ago has still not come, and nobody answers my messages about it.";

describe("near duplicates", () => {
  test("differ in case, punctuation or a word, and are found with the earlier row", () => {
    const texts = [
      LONG,
      "where is my order",
      LONG.toUpperCase().replaceAll(".", "!!"),
      LONG.replace("three", "four"),
      "Where is my order?",
    ];
    const found = nearDuplicates(texts);
    expect(found.map(({ row, of }) => [row, of])).toEqual([
      [2, 0],
      [3, 0],
      [4, 1],
    ]);
    expect(found.map(({ share }) => share === 1)).toEqual([true, false, true]);
  });

  test("are not texts that only share some words, or texts without letters", () => {
    expect(nearDuplicates([LONG, LONG.slice(0, 50), "where is my order", "where is my parcel", "?!", "..."])).toEqual(
      [],
    );
  });

  test("are all found for a text that occurs thousands of times", () => {
    expect(nearDuplicates(Array.from({ length: 3000 }, () => LONG))).toHaveLength(2999);
  });
});

/** Four groups; the labels of some rows are another group's. */
const WRONG = [5, 42, 77];
const vectors = Array.from({ length: 120 }, (_, row) =>
  unitVector(Float32Array.from({ length: 8 }, (_, i) => (i === row % 4 ? 1 : 0.3 * Math.sin(13 * row + 7 * i)))),
);
const classes = vectors.map((_, row) => (WRONG.includes(row) ? (row + 1) % 4 : row % 4));

test("labels that cross-validated classifiers contradict are found, with the label of similar rows", async () => {
  const found = await doubtfulLabels(vectors, classes, 4, runtime);
  expect(found.map(({ row }) => row).sort((a, b) => a - b)).toEqual(WRONG);
  for (const { row, instead, given, other } of found) {
    expect(instead).toBe(row % 4);
    expect(other).toBeGreaterThan(given);
  }
  expect(
    await doubtfulLabels(
      vectors,
      vectors.map((_, row) => row % 4),
      4,
      runtime,
    ),
  ).toEqual([]);
});

test("rows that look wrong are grouped by problem", () => {
  const row = (text: string, label: string, line: number, held = false): CheckedRow => ({
    text,
    label,
    place: `line ${line}`,
    held,
  });
  const many = Array.from({ length: 8 }, (_, i) => row(`${i} ${"abcdefgh"[i]!.repeat(9)} is what it says`, "a", i));
  const found = checkRows([
    ...many,
    row(" ", "a", 8),
    row("no label here at all", "", 9),
    row(LONG, "a", 10),
    row(LONG.toLowerCase(), "a", 11),
    row(LONG, "b", 12),
    row(LONG, "a", 1, true),
  ]);
  expect(found).toEqual([
    { kind: "no text", row: 8, detail: "" },
    { kind: "no label", row: 9, detail: "" },
    { kind: "duplicate", row: 11, detail: "nearly line 10" },
    { kind: "other label", row: 12, detail: "nearly line 10, which is a" },
    { kind: "in validation", row: 13, detail: "nearly line 10" },
    { kind: "few rows", detail: "b has 1 training row; give at least 8" },
  ]);
});
