import { expect, test } from "vitest";
import { parseTable } from "../../src/datasets/parse-table.ts";
import { taskOfTable } from "../../src/datasets/table-task.ts";
import { dataNotes } from "../../src/tasks/data-notes.ts";
import { holdOut } from "../../src/tasks/split.ts";

type Row = readonly [text: string, team: string];

/** Rows of two clean classes, four each. */
const CLEAN: Row[] = ["billing", "bug"].flatMap((team) => [1, 2, 3, 4].map((i): Row => [`${team} number ${i}`, team]));

const taskOf = (rows: readonly Row[]) =>
  taskOfTable(parseTable(`text,label\n${rows.map((row) => `${row.join(",")}\n`).join("")}`, "tickets.csv", "csv"), {});

test("clean data has no notes", () => {
  expect(dataNotes(taskOf(CLEAN))).toEqual([]);
});

test.each<[what: string, more: Row[], note: string]>([
  [
    "labels that differ in case, spaces or accents",
    [1, 2, 3].flatMap((i): Row[] => [
      [`a ${i}`, "Billing"],
      [`b ${i}`, "bílling"],
    ]),
    'labels differ only in case, spaces or accents: "Billing" and "billing"',
  ],
  [
    "cells with several labels",
    [1, 2, 3].map((i): Row => [`both ${i}`, "billing;bug"]),
    '3 rows with several labels in a cell, such as "billing;bug": each combination is a class; --kind multi-label',
  ],
  ["classes that are too small", [["rare", "legal"]], '1 class has fewer than 3 rows ("legal")'],
  [
    "texts with different labels",
    [["bug number 1", "billing"]],
    '1 text occurs with different labels, such as "bug number 1"',
  ],
  [
    "a class that dominates",
    Array.from({ length: 60 }, (_, i): Row => [`crash ${i}`, "bug"]),
    '94 % of the rows are "bug"',
  ],
])("a note names %s", (_, more, note) => {
  expect(dataNotes(taskOf([...CLEAN, ...more]))).toEqual([expect.stringContaining(note)]);
});

test("a note counts validation examples that are training examples, too, but not in a part that was held out", () => {
  const task = taskOf(CLEAN);
  const held = { name: "validation", examples: task.train.slice(0, 3) };
  expect(dataNotes({ ...task, validation: [held] })).toEqual([
    expect.stringContaining("3 of 3 validation examples are training examples, too"),
  ]);
  expect(dataNotes(holdOut(task, 0.25, 1))).toEqual([]);
});

test("there are at most five notes, and they hold no control characters", () => {
  const messy = taskOf([
    ...CLEAN,
    ["bug number 1", "Billing"],
    ["x", "billing;bug"],
    ["y", "bad\u001b[31m"],
    ...Array.from({ length: 200 }, (_, i): Row => [`crash ${i}`, "bug"]),
  ]);
  const notes = dataNotes({ ...messy, validation: [{ name: "validation", examples: messy.train.slice(0, 2) }] });
  expect(notes).toHaveLength(5);
  expect(notes.join()).not.toMatch(/\p{Cc}/u);
});

test("a row of a CSV file in which every cell is empty is skipped", () => {
  const task = taskOfTable(parseTable("text,label\na,x\n,\nb,y\n \t,\n", "tickets.csv", "csv"), {});
  expect(task.train.map(({ text }) => text)).toEqual(["a", "b"]);
});
