import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadNamedTask } from "../../src/datasets/named-task-node.ts";
import type { TaskData } from "../../src/tasks/example.ts";

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-gsm8k-"));
});
afterAll(() => rm(home, { recursive: true }));

const folderWith = async (name: string, files: Record<string, string>): Promise<string> => {
  const folder = join(home, name);
  await mkdir(folder);
  for (const [file, text] of Object.entries(files)) await writeFile(join(folder, file), text);
  return folder;
};

const questions = (count: number): string =>
  Array.from({ length: count }, (_, i) =>
    JSON.stringify({ question: `What is ${i} + 1?`, answer: `#### ${i + 1}` }),
  ).join("\n");

/** Rows in the form of LLM-Adapters' file. */
const instructions = (count: number): string =>
  JSON.stringify(
    Array.from({ length: count }, (_, i) => ({
      instruction: `Add one to ${i}.`,
      input: i % 2 === 0 ? "" : `The number is ${i}.`,
      output: `${i} + 1 = ${i + 1}. The answer is ${i + 1}.`,
      answer: String(i + 1),
    })),
  );

const sizesOf = ({ train, validation }: TaskData): number[] => [train.length, validation[0]!.examples.length];

test("math_10k.json is read if the folder has it: 120 of its rows are held out", async () => {
  const folder = await folderWith("both", { "math_10k.json": instructions(1500), "train.jsonl": questions(20) });
  const task = await loadNamedTask("gsm8k", folder, 1);
  expect(task).toMatchObject({
    name: "gsm8k",
    kind: "language-model",
    origin: { files: [join(folder, "math_10k.json")] },
  });
  expect(sizesOf(task)).toEqual([1380, 120]);
  expect(task.notes).toEqual(["training on math_10k.json of LLM-Adapters"]);
  const [plain, withInput] = [false, true].map(
    (has) => [...task.train].find(({ context }) => (context !== undefined) === has)!,
  );
  expect(plain!.text).toMatch(/^Add one to \d+\.$/);
  expect(withInput!.text).toBe(`${withInput!.text.split("\n")[0]}\n\n${withInput!.context}`);
  expect(withInput!.textPair).toMatch(/The answer is \d+\.$/);
});

test("without it GSM8K's own rows, and a tenth of few is held out", async () => {
  const folder = await folderWith("own", { "train.jsonl": questions(50) });
  const task = await loadNamedTask("gsm8k", folder, 1);
  expect(sizesOf(task)).toEqual([45, 5]);
  expect(task.notes).toEqual([
    `training on GSM8K's own rows: ${folder} has no math_10k.json, on which the paper's models trained`,
  ]);
});

test.each([
  ["cut", '[{"instruction": "Add'],
  ["no array", '{"instruction": "Add"}'],
  ["no objects", "[1]"],
])("a file that is %s is refused in a sentence", async (name, text) => {
  const folder = await folderWith(name, { "math_10k.json": text });
  await expect(loadNamedTask("gsm8k", folder, 1)).rejects.toThrow(
    /math_10k\.json is no JSON array of objects with instruction, input, output; get it again from LLM-Adapters$/,
  );
});
