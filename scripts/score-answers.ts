/**
 * Scores the answers of a study's language models, which a study itself does not write: of each finished trial the first answers to its
 * validation examples.
 *
 *     npx tsx scripts/score-answers.ts STUDY_FOLDER EXAMPLES
 *
 * Writes `answers.json` into each trial's folder, skips trials that have it, and writes `answers.csv` beside `study.csv`: the same rows
 * with a column for each metric in METRICS.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseCsv } from "../src/datasets/parse-csv.ts";
import { evaluateRun } from "../src/runs/evaluate-run.ts";

const METRICS = ["last_number"];

const [folder, examples] = process.argv.slice(2);
if (!folder || !examples) {
  console.error("usage: npx tsx scripts/score-answers.ts STUDY_FOLDER EXAMPLES");
  process.exit(2);
}
const lines = readFileSync(join(folder, "study.csv"), "utf8").trimEnd().split("\n");
const [heading, ...rows] = parseCsv(lines.join("\n"), "study.csv").map(({ cells }) => cells);
const written = [`${lines[0]},${METRICS.join(",")}`];
for (const [i, cells] of rows.entries()) {
  const cell = (name: string): string => cells[heading!.indexOf(name)]!;
  const finished = cell("status") === "finished";
  const scores = finished ? await scoresOf(join(folder, "trials", cell("id"))) : {};
  written.push(`${lines[i + 1]},${METRICS.map((name) => scores[name] ?? "").join(",")}`);
}
writeFileSync(join(folder, "answers.csv"), `${written.join("\n")}\n`);

async function scoresOf(trial: string): Promise<Record<string, number>> {
  const file = join(trial, "answers.json");
  if (!existsSync(file)) {
    const [evaluation] = await evaluateRun(trial, { generate: Number(examples), threads: 1 });
    console.log(trial, JSON.stringify(evaluation!.metrics));
    writeFileSync(file, `${JSON.stringify(evaluation, null, 2)}\n`);
  }
  return (JSON.parse(readFileSync(file, "utf8")) as { metrics: Record<string, number> }).metrics;
}
