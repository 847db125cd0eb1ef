import { describe, expect, test } from "vitest";
import { UserError } from "../../src/errors.ts";
import { examplesOf } from "../../src/tasks/examples.ts";
import { preference } from "../../src/tasks/kinds/preference.ts";
import { reward } from "../../src/tasks/kinds/reward.ts";
import { preferenceExamples, withAnswer } from "../../src/tasks/preference-rows.ts";
import type { Table } from "../../src/tasks/rows.ts";
import { recognizeColumns } from "../../src/tasks/task-kinds.ts";

const table = (...rows: Record<string, unknown>[]): Table => {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const cellsOf = (row: Record<string, unknown>) => columns.map((column) => row[column]);
  return { source: "pairs.jsonl", columns, rows: rows.map((row, i) => ({ line: i + 1, cells: cellsOf(row) })) };
};
const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });
const first = (...rows: Record<string, unknown>[]) => preferenceExamples(table(...rows), {}).examples[0]!;

describe("pairs", () => {
  test("with a prompt and two texts", () => {
    const row = { prompt: "Where?", chosen: "Here.", rejected: "No idea." };
    expect(first(row)).toMatchObject({ text: "Where?", textPair: "Here.", texts: ["No idea."] });
    expect(recognizeColumns(table(row), {})?.name).toBe("preference");
  });

  test("with a common prompt at their beginning: up to the last shared white space", () => {
    const row = { chosen: "Where is it? Here it is.", rejected: "Where is it? Hello." };
    expect(first(row)).toMatchObject({ text: "Where is it? ", textPair: "Here it is.", texts: ["Hello."] });
  });

  test("of conversations, with a separate prompt or one before both answers", () => {
    const apart = { prompt: [user("Where?")], chosen: [assistant("Here.")], rejected: [assistant("No idea.")] };
    const before = {
      chosen: [user("Where?"), assistant("Here.")],
      rejected: [user("Where?"), assistant("No idea.")],
    };
    for (const row of [apart, before]) {
      const example = { index: 0, ...first(row) };
      expect(example).toMatchObject({ text: "Where?", messages: [user("Where?"), assistant("Here.")] });
      expect(withAnswer(example, 0).messages).toEqual([user("Where?"), assistant("Here.")]);
      expect(withAnswer(example, 1).messages).toEqual([user("Where?"), assistant("No idea.")]);
    }
  });

  test.each([
    [{ prompt: "Where?", chosen: "Here.", rejected: " " }, 'line 1: an empty answer in column "rejected"'],
    [
      { chosen: [user("Where?"), assistant("Here.")], rejected: [user("When?"), assistant("Now.")] },
      'no single answer of the assistant to the same prompt in column "rejected"',
    ],
    [{ prompt: "Where?", text: "Here." }, "preferences need chosen and rejected"],
  ])("that are none are refused: %j", (row, message) => {
    expect(() => first(row)).toThrow(UserError);
    expect(() => first(row)).toThrow(message);
  });
});

describe("judged answers", () => {
  const rows = [
    { prompt: "Where?", completion: "Here.", label: true },
    { prompt: "When?", completion: "Go away.", label: "false" },
  ];

  test("have an answer to another prompt as their second text", () => {
    const { rows: kind, examples } = preferenceExamples(table(...rows), {});
    expect(kind).toBe("judged");
    expect(examples).toMatchObject([
      { text: "Where?", textPair: "Here.", texts: ["Go away."], label: 1 },
      { text: "When?", textPair: "Go away.", texts: ["Here."], label: 0 },
    ]);
    expect(recognizeColumns(table(...rows), {})?.name).toBe("preference");
  });

  test("other labels mean completions to learn, or are refused if named; a reward model needs pairs", () => {
    const graded = rows.map((row) => ({ ...row, label: "good" }));
    expect(recognizeColumns(table(...graded), {})?.name).toBe("language-model");
    expect(() => preferenceExamples(table(...graded), {})).toThrow(
      '"good" is neither true nor false in column "label"',
    );
    expect(() => reward.table!.read(table(...rows), {})).toThrow("a reward model needs two answers");
  });
});

test("rows to predict for are read from the usual columns: a prompt alone, or with an answer to score", () => {
  const asked = table({ prompt: "Where?" });
  expect(preference.columnsIn!(asked, {})).toEqual({ text: "prompt" });
  const pairs = table({ text: "Where?", answer: "Here." });
  expect(examplesOf(pairs, { text: "text", textPair: "answer" }, reward, [])).toEqual([
    { index: 0, text: "Where?", textPair: "Here." },
  ]);
});
