/**
 * Makes the files of docs/results/language-models.md: 400 rows to train on and 100 held out of DialogSum and of GSM8K.
 *
 *     npx tsx scripts/make-answer-rows.ts DATA_FOLDER OUTPUT_FOLDER
 *
 * DATA_FOLDER holds dialogsum/dev.jsonl and gsm8k/{train,test}.jsonl as published. Written are {dialogsum,gsm8k}-{train,test}.jsonl.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

const [from, to] = process.argv.slice(2);
if (!from || !to) {
  console.error("usage: npx tsx scripts/make-answer-rows.ts DATA_FOLDER OUTPUT_FOLDER");
  process.exit(2);
}
await mkdir(to, { recursive: true });

async function rowsOf<Row>(file: string): Promise<Row[]> {
  const lines = (await readFile(join(from!, file), "utf8")).trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line) as Row);
}

const write = (name: string, rows: readonly object[]): Promise<void> =>
  writeFile(join(to, `${name}.jsonl`), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));

const summaries = (await rowsOf<{ dialogue: string; summary: string }>("dialogsum/dev.jsonl")).map((row) => ({
  instruction: "Summarize the dialogue in a few sentences.",
  input: row.dialogue,
  output: row.summary,
}));
await write("dialogsum-train", summaries.slice(0, 400));
await write("dialogsum-test", summaries.slice(-100));

for (const split of ["train", "test"]) {
  const problems = await rowsOf<{ question: string; answer: string }>(`gsm8k/${split}.jsonl`);
  const rows = problems.map(({ question, answer }) => ({ prompt: question, completion: answer }));
  await write(`gsm8k-${split}`, rows.slice(0, split === "train" ? 400 : 100));
}
