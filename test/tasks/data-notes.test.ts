import { describe, expect, test } from "vitest";
import { parseTable } from "../../src/datasets/parse-table.ts";
import { taskOfTable } from "../../src/datasets/table-task.ts";
import { shownNotes, taskNotes } from "../../src/tasks/data-notes.ts";
import type { TaskData } from "../../src/tasks/example.ts";
import { withoutSmallClasses } from "../../src/tasks/small-classes.ts";
import { holdOut } from "../../src/tasks/split.ts";

type Row = readonly [text: string, team: string];

/** Rows of two clean classes, four each. */
const CLEAN: Row[] = ["billing", "bug"].flatMap((team) => [1, 2, 3, 4].map((i): Row => [`${team}s number ${i}`, team]));

const taskOf = (rows: readonly Row[]) =>
  taskOfTable(parseTable(`text,label\n${rows.map((row) => `${row.join(",")}\n`).join("")}`, "tickets.csv", "csv"), {});

test("clean data has no notes", () => {
  expect(taskNotes(taskOf(CLEAN))).toEqual([]);
});

test.each<[what: string, more: Row[], note: string]>([
  [
    "labels that differ in case, spaces or accents",
    [1, 2, 3].flatMap((i): Row[] => [
      [`a ${i}`, "Billing"],
      [`b ${i}`, "bílling"],
    ]),
    'labels differ only in case, spaces or accents: "billing" and "Billing" and "bílling"',
  ],
  [
    "cells with several labels",
    [1, 2, 3].map((i): Row => [`both ${i}`, "billing;bug"]),
    '3 rows with several labels in a cell, such as "billing;bug": each combination is a class; option "kind" multi-label',
  ],
  ["classes that are too small", [["rare", "legal"]], '1 class has fewer than 3 rows ("legal")'],
  [
    "texts with different labels",
    [["bugs number 1", "billing"]],
    '1 text occurs with different labels, such as "bugs number 1"',
  ],
  [
    "a class that dominates",
    Array.from({ length: 60 }, (_, i): Row => [`crash ${i}`, "bug"]),
    '94 % of the rows are "bug"',
  ],
])("a note names %s", (_, more, note) => {
  expect(taskNotes(taskOf([...CLEAN, ...more]))).toEqual([expect.stringContaining(note)]);
});

test("a note counts validation examples that are training examples, too, but not in a part that was held out", () => {
  const task = taskOf(CLEAN);
  const held = { name: "validation", examples: task.train.slice(0, 3) };
  expect(taskNotes({ ...task, validation: [held] })).toEqual([
    expect.stringContaining("3 of 3 validation examples are training examples, too"),
  ]);
  expect(taskNotes(holdOut(task, 0.25, 1))).toEqual([]);
});

test.each<[what: string, rows: Row[], note: string]>([
  [
    "texts that are dates",
    Array.from({ length: 12 }, (_, i): Row => [`2026-03-${i + 10} 08:15`, i % 2 ? "a" : "b"]),
    "the column of the texts holds dates",
  ],
  [
    "texts that are ids",
    Array.from({ length: 12 }, (_, i): Row => [`TK-${i}41`, i % 2 ? "a" : "b"]),
    "the column of the texts holds ids or numbers",
  ],
  [
    "labels that are dates",
    Array.from({ length: 12 }, (_, i): Row => [`text ${i}`, `${1 + (i % 3)}.12.2026`]),
    "the column of the labels holds dates",
  ],
  [
    "labels that nearly all differ",
    Array.from({ length: 12 }, (_, i): Row => [`text ${i}`, `no ${Math.max(1, i)}`]),
    "11 labels for 12 rows",
  ],
  [
    "texts that contain their label",
    Array.from({ length: 12 }, (_, i): Row => [`${i} [Card_Lost] help`, "card lost"]).concat([["x", "bug"]]),
    "92 % of the texts contain their own label",
  ],
])("a note names %s", (_, rows, note) => {
  expect(taskNotes(taskOf(rows))[0]).toContain(note);
});

test("there are at most five notes, all of them if they are errors, and they hold no control characters", () => {
  const messy = taskOf([
    ...CLEAN,
    ["bugs number 1", "Billing"],
    ["x", "billing;bug"],
    ["y", "bad\u001b[31m"],
    ...Array.from({ length: 200 }, (_, i): Row => [`crash ${i}`, "bug"]),
  ]);
  const leaked = [{ name: "validation", examples: messy.train.slice(0, 2) }];
  const notes = taskNotes({ ...messy, validation: leaked, skipped: 3 });
  expect(notes).toHaveLength(7);
  expect(shownNotes(notes)).toEqual(notes.slice(0, 5));
  expect(() => shownNotes(notes, true)).toThrow(/^the examples have 7 problems; .*\n- .*\n- 3 rows without any text/s);
  expect(shownNotes([], true)).toEqual([]);
  expect(notes.join()).not.toMatch(/\p{Cc}/u);
});

test.each([
  ["tickets.csv", "csv", "text,label\na,x\n,\n\nb,y\n \t,\n"],
  ["tickets.jsonl", "jsonl", '{"text":"a","label":"x"}\n{}\n\n{"text":"b","label":"y"}\n{"text":"","label":null}\n'],
] as const)("empty rows of %s are skipped, and counted", (name, format, text) => {
  const task = taskOfTable(parseTable(text, name, format), {});
  expect(task.train.map(({ text }) => text)).toEqual(["a", "b"]);
  expect(taskNotes(task)).toContain("2 rows without any text or label: skipped");
});

describe("small classes", () => {
  const rows = [
    ...CLEAN,
    ...["x", "y"].flatMap((team) => [1, 2].map((i): Row => [`${team}${i}`, team])),
    ["z", "other"] as const,
  ];
  const namesOf = ({ labels, train }: TaskData) => train.map(({ label }) => labels[label!]).join();

  test("are merged into one, with those of validation rows", () => {
    const { train, ...task } = taskOf(rows);
    const held = [{ name: "validation", examples: [...train] }];
    const merged = withoutSmallClasses({ ...task, train, validation: held }, { minClassRows: 3 });
    expect(merged.labels).toEqual(["billing", "bug", "other"]);
    expect(namesOf(merged)).toBe(`${"billing,".repeat(4)}${"bug,".repeat(4)}other,other,other,other,other`);
    expect(merged.validation[0]!.examples).toEqual(merged.train);
    expect(merged.notes).toEqual(['5 rows of classes with fewer than 3 rows ("other", "x", "y") are now "other"']);
  });

  test("are dropped, and indices count the rows that are left", () => {
    const dropped = withoutSmallClasses(taskOf([["w", "rare"], ...rows]), { minClassRows: 2, smallClasses: "drop" });
    expect(dropped.labels).toEqual(["billing", "bug", "x", "y"]);
    expect(dropped.train.map(({ index }) => index)).toEqual([...Array(12).keys()]);
    expect(dropped.notes).toEqual(['2 rows of classes with fewer than 2 rows ("other", "rare") are left out']);
  });

  test("stay as they are if none is small, and are refused if too few are left or there are none", () => {
    const task = taskOf(CLEAN);
    expect(withoutSmallClasses(task, { minClassRows: 4 })).toBe(task);
    expect(() => withoutSmallClasses(task, { minClassRows: 5 })).toThrow('only the class "other" is left; lower it');
    expect(() => withoutSmallClasses(task, { smallClasses: "drop" })).toThrow('requires option "minClassRows"');
    const numbers = taskOfTable(parseTable("text,label\na,0.5\nb,1.5\n", "numbers.csv", "csv"), {});
    expect(() => withoutSmallClasses(numbers, { minClassRows: 5 })).toThrow("which regression does not have");
  });
});
