/**
 * What `aflora train` without flags comes to on few rows, beside a linear head on the same encoder's frozen features (`--method head`,
 * fitted to all the rows that training has to hold some out of): draws of so many rows a class, both scored on rows of another file.
 *
 *     npm run bench:few-labels -- [--train FILE --test FILE] [--rows 8,16,64] [--draws 1,2,3] [--scored 1000] [--output FOLDER]
 *
 * TRAIN and TEST are tables (../shared/data/agnews/train.csv and test.csv); --model, --method, --kind, --text, --text-pair and --label are those of
 * `aflora train`. With a --kind other than classification, so many rows are drawn in all. Runs and results.jsonl lie in FOLDER (runs/few-labels);
 * the same command goes on where it stopped.
 */
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { tableFormat } from "../src/datasets/parse-table.ts";
import { readTable } from "../src/datasets/read-table-node.ts";
import { fineTune } from "../src/fine-tune.ts";
import { evaluateRun } from "../src/runs/evaluate-run.ts";
import type { FineTuneConfig } from "../src/runs/fine-tune-config.ts";
import { grouped, spreadOf } from "../src/studies/statistics.ts";
import type { TaskPredictions } from "../src/tasks/built-in-kinds.ts";
import { namedColumns, type Table } from "../src/tasks/rows.ts";
import { drawRows, writeRows } from "./drawn-rows.ts";

interface Result {
  rows: number;
  draw: number;
  /** The task's first metric on the other rows, and the run's seconds. */
  head: number;
  trained: number;
  seconds: number;
}

const text = { type: "string" } as const;
const { values } = parseArgs({
  options: {
    train: { ...text, default: "../shared/data/agnews/train.csv" },
    test: { ...text, default: "../shared/data/agnews/test.csv" },
    rows: { ...text, default: "8,16,64" },
    draws: { ...text, default: "1,2,3" },
    scored: { ...text, default: "1000" },
    output: { ...text, default: "runs/few-labels" },
    model: text,
    method: text,
    kind: text,
    text,
    "text-pair": text,
    label: { ...text, default: "label" },
  },
});
const { output, model, method, kind, label } = values;
const columns = namedColumns({ text: values.text, textPair: values["text-pair"], label });
/** `fineTune` checks the name of the kind. */
const options = { model, kind: kind as keyof TaskPredictions | undefined, ...columns };
const hasClasses = kind === undefined || kind === "classification";
const numbersOf = (list: string): number[] => list.split(",").map(Number);

/** A run's only metric that counts: its task's first. */
const firstOf = (metrics: Record<string, number>): number => Object.values(metrics)[0]!;

async function measure(rows: number, draw: number): Promise<Result> {
  const folder = join(output, `${rows}-${draw}`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const { drawn } = drawRows(train, rows, draw, hasClasses ? label : undefined);
  const given = { ...options, train: writeRows(join(folder, "train.jsonl"), drawn) };
  const head = await fineTune({ ...given, method: "head", validation: test, output: join(folder, "head") });
  const began = performance.now();
  const trained = { ...given, ...(method && { method }), output: join(folder, "trained") } as FineTuneConfig;
  const { directory } = await fineTune(trained);
  const seconds = (performance.now() - began) / 1000;
  const [scored] = await evaluateRun(directory, { ...columns, validation: test });
  return { rows, draw, head: firstOf(head.result!.metrics), trained: firstOf(scored!.metrics), seconds };
}

const read = (file: string): Promise<Table> => readTable(file, tableFormat(file));
mkdirSync(output, { recursive: true });
const [train, all] = [await read(values.train), await read(values.test)];
const test = writeRows(join(output, "test.jsonl"), { ...all, rows: all.rows.slice(0, Number(values.scored)) });
const file = join(output, "results.jsonl");
const results: Result[] = existsSync(file)
  ? readFileSync(file, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line))
  : [];
for (const draw of numbersOf(values.draws)) {
  for (const rows of numbersOf(values.rows)) {
    if (results.some((result) => result.rows === rows && result.draw === draw)) continue;
    const result = await measure(rows, draw);
    results.push(result);
    appendFileSync(file, `${JSON.stringify(result)}\n`);
    console.log(
      `${rows} rows, draw ${draw}: ${result.head.toFixed(4)} → ${result.trained.toFixed(4)} in ${result.seconds.toFixed(0)} s`,
    );
  }
}

const shown = (found: readonly number[]): string => {
  const { mean, deviation } = spreadOf(found);
  return mean.toFixed(3) + (deviation === undefined ? "" : ` ± ${deviation.toFixed(3)}`);
};
console.log("| rows a class | draws | linear head | trained | gain |\n|---|---|---|---|---|");
for (const [rows, found] of grouped(
  results.toSorted((a, b) => a.rows - b.rows),
  (result) => result.rows,
)) {
  const gains = found.map(({ head, trained }) => trained - head);
  const cells = [
    rows,
    found.length,
    shown(found.map(({ head }) => head)),
    shown(found.map(({ trained }) => trained)),
    shown(gains),
  ];
  console.log(`| ${cells.join(" | ")} |`);
}
