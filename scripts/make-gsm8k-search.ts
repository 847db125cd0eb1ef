/**
 * Makes a retrieval set of GSM8K: each question is to find its own solution.
 *
 *     npx tsx scripts/make-gsm8k-search.ts GSM8K_FOLDER OUTPUT_FOLDER
 *
 * GSM8K_FOLDER holds train.jsonl and test.jsonl as published. Written are pairs.jsonl (the training questions with their
 * solutions) and, in BEIR's layout, corpus.jsonl (all solutions of both), queries.jsonl (the test questions) and qrels.tsv.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

const [from, to] = process.argv.slice(2);
if (!from || !to) {
  console.error("usage: npx tsx scripts/make-gsm8k-search.ts GSM8K_FOLDER OUTPUT_FOLDER");
  process.exit(2);
}
await mkdir(to, { recursive: true });

/** Questions and solutions, without the calculator's marks. */
async function problemsOf(split: string): Promise<{ id: string; question: string; solution: string }[]> {
  const lines = (await readFile(join(from!, `${split}.jsonl`), "utf8")).trimEnd().split("\n");
  return lines.map((line, i) => {
    const { question, answer } = JSON.parse(line) as { question: string; answer: string };
    return { id: `${split}-${i}`, question, solution: answer.replace(/<<[^>]*>>/g, "") };
  });
}

const write = (name: string, rows: readonly object[]): Promise<void> =>
  writeFile(join(to, name), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));

const [train, test] = [await problemsOf("train"), await problemsOf("test")];
await write(
  "pairs.jsonl",
  train.map(({ question, solution }) => ({ anchor: question, positive: solution })),
);
await write(
  "corpus.jsonl",
  [...train, ...test].map(({ id, solution }) => ({ _id: id, text: solution })),
);
await write(
  "queries.jsonl",
  test.map(({ id, question }) => ({ _id: id, text: question })),
);
const qrels = test.map(({ id }) => `${id}\t${id}\t1\n`).join("");
await writeFile(join(to, "qrels.tsv"), `query-id\tcorpus-id\tscore\n${qrels}`);
