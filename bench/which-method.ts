/**
 * Scores of several methods on rows of one's own, each with the defaults of `aflora train`: draws of training rows from
 * tables of the shared data, with the same rows for every setting.
 *
 *     npm run bench:which-method -- --settings "aflora;lora;lora learningRate=0.0012" --output runs/which-method.csv [--model FOLDER]
 *         [--tasks rte,mrpc] [--rows 8,64,500,all] [--draws 1,2,3] [--tested 600] [--held-out 300] [--data ../shared/data]
 *
 * A setting is a method's name and its options. The task `banking77/10` has ten of the classes, others for each draw; `pairs` has questions,
 * each with a sentence that answers it or does not ({@link questionPairs}). Each run is scored on at most --held-out training rows that were
 * not drawn (`heldOut`), which may choose a setting, and on at most --tested of the task's test rows (`score`), which may not. OUTPUT gets a
 * line after each run; the same command continues.
 */
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { parseCsv } from "../src/datasets/parse-csv.ts";
import { type TableOptions, tableFormat } from "../src/datasets/parse-table.ts";
import { readTable } from "../src/datasets/read-table-node.ts";
import { csvOf } from "../src/datasets/write-csv.ts";
import { fineTune } from "../src/fine-tune.ts";
import { evaluateRun } from "../src/runs/evaluate-run.ts";
import type { FineTuneConfig } from "../src/runs/fine-tune-config.ts";
import { type Columns, columnIndex, type Row, type Table } from "../src/tasks/rows.ts";
import { drawRows, writeRows } from "./drawn-rows.ts";
import { questionPairs } from "./question-pairs.ts";

interface Task extends Columns {
  label: string;
  train: string;
  test: string;
  kind?: "regression";
  options?: TableOptions;
  /** Makes the task's rows from those of the file. */
  rows?: (table: Table) => Table;
}

const pair = { text: "sentence1", textPair: "sentence2" };
const cola = { header: ["source", "label", "mark", "sentence"] };
const TASKS: Readonly<Record<string, Task>> = {
  rte: { train: "glue/RTE/train.tsv", test: "glue/RTE/dev.tsv", ...pair, label: "label" },
  mrpc: {
    train: "glue/MRPC/train.tsv",
    test: "glue/MRPC/dev.tsv",
    text: "#1 String",
    textPair: "#2 String",
    label: "Quality",
  },
  stsb: { train: "glue/STS-B/train.tsv", test: "glue/STS-B/dev.tsv", ...pair, label: "score", kind: "regression" },
  cola: { train: "glue/CoLA/train.tsv", test: "glue/CoLA/dev.tsv", text: "sentence", label: "label", options: cola },
  sst2: { train: "glue/SST-2/train.tsv", test: "glue/SST-2/dev.tsv", text: "sentence", label: "label" },
  banking77: { train: "banking77/train.csv", test: "banking77/test.csv", text: "text", label: "category" },
  pairs: {
    train: "gsm8k/train.jsonl",
    test: "gsm8k/test.jsonl",
    text: "question",
    textPair: "sentence",
    label: "label",
    rows: questionPairs,
  },
  agnews: { train: "agnews/train.csv", test: "agnews/test.csv", text: "text", label: "label" },
};

const HEADING = ["encoder", "task", "rows", "draw", "setting", "metric", "heldOut", "score", "trainable", "seconds"];
/** The draw of the test rows, which is the same for all runs. */
const TEST_DRAW = 0;

const text = { type: "string" } as const;
const { values } = parseArgs({
  options: {
    settings: { ...text, default: "aflora;lora;full" },
    tasks: { ...text, default: "rte,mrpc,stsb,cola,banking77,agnews" },
    rows: { ...text, default: "8,64,500" },
    draws: { ...text, default: "1,2,3" },
    tested: { ...text, default: "600" },
    "held-out": { ...text, default: "300" },
    data: { ...text, default: "../shared/data" },
    base: { ...text, default: "float32" },
    output: { ...text, default: "runs/which-method.csv" },
    model: text,
  },
});
const { data, model, output } = values;
const encoder = model?.split("/").at(-1) ?? "bundled";

function configOf(setting: string): FineTuneConfig {
  const [method, ...options] = setting.trim().split(/\s+/);
  const given = options.map((option) => option.split("=") as [string, string]);
  const parse = (value: string): unknown => {
    if (value === "true" || value === "false") return value === "true";
    return Number.isNaN(Number(value)) ? value : Number(value);
  };
  return Object.fromEntries([["method", method], ...given.map(([name, value]) => [name, parse(value)])]);
}

/** Keeps the rows of `count` classes; each draw takes others. */
function someClasses(table: Table, label: string, count: number, draw: number): Table {
  const column = columnIndex(table, label);
  const classOf = ({ cells }: Row): string => String(cells.at(column));
  const all = [...new Set(table.rows.map(classOf))].sort();
  const placeOf = (i: number): number => (Math.floor((i * all.length) / count) + draw) % all.length;
  const kept = new Set(Array.from({ length: count }, (_, i) => all[placeOf(i)]!));
  return { ...table, rows: table.rows.filter((row) => kept.has(classOf(row))) };
}

/** The tables of one draw, as files. @param classes number of classes, or NaN for all */
async function filesOf(
  task: Task,
  classes: number,
  rows: number,
  draw: number,
  folder: string,
): Promise<Record<string, string>> {
  const label = task.kind ? undefined : task.label;
  const part = (table: Table): Table => (classes ? someClasses(table, task.label, classes, draw) : table);
  const read = async (file: string): Promise<Table> => {
    const table = await readTable(join(data, file), tableFormat(file), task.options);
    return task.rows?.(table) ?? table;
  };
  const [train, test] = await Promise.all([task.train, task.test].map(read));
  // Without classes, as many rows as two classes have.
  const { drawn, others } = drawRows(part(train!), label ? rows : 2 * rows, draw, label);
  const shuffled = (table: Table, count: number): Table => drawRows(table, count, TEST_DRAW, undefined).drawn;
  return {
    train: writeRows(join(folder, "train.jsonl"), drawn),
    test: writeRows(join(folder, "test.jsonl"), shuffled(part(test!), Number(values.tested))),
    ...(others.rows.length > 0 && {
      others: writeRows(join(folder, "others.jsonl"), shuffled(others, Number(values["held-out"]))),
    }),
  };
}

/** @param rows number of rows per class, or `all` */
async function measure(given: string, rows: string, draw: number, setting: string): Promise<unknown[]> {
  const [name, classes] = given.split("/");
  const task = TASKS[name!]!;
  const perClass = rows === "all" ? Number.POSITIVE_INFINITY : Number(rows);
  const folder = mkdtempSync(join(tmpdir(), "which-method-"));
  try {
    const { train, test, others } = await filesOf(task, Number(classes), perClass, draw, folder);
    const { text, textPair, label, kind } = task;
    const columns = { text, label, ...(textPair && { textPair }) };
    const run = {
      ...columns,
      kind,
      model,
      base: values.base,
      train,
      seed: draw,
      threads: 1,
      output: join(folder, "run"),
    };
    const began = performance.now();
    const { directory, result } = await fineTune({ ...run, ...configOf(setting) } as FineTuneConfig);
    const seconds = Math.round((performance.now() - began) / 1000);
    const metric = Object.keys(result!.metrics)[0]!;
    const scoreOn = async (validation: string): Promise<number> => {
      const [scored] = await evaluateRun(directory, { ...columns, validation, threads: 1 });
      return scored!.metrics[metric]!;
    };
    const scores = [others ? await scoreOn(others) : result!.metrics[metric]!, await scoreOn(test!)];
    const rounded = scores.map((score) => score.toFixed(5));
    return [encoder, given, rows, draw, setting, metric, ...rounded, Math.round(result!.trainable.average), seconds];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (!existsSync(output)) appendFileSync(output, csvOf([HEADING]));
const keyOf = (cells: readonly unknown[]): string => cells.slice(0, 5).join(" | ");
const done = new Set(parseCsv(readFileSync(output, "utf8"), output).map(({ cells }) => keyOf(cells)));
for (const draw of values.draws.split(",").map(Number)) {
  for (const rows of values.rows.split(",")) {
    for (const task of values.tasks.split(",")) {
      for (const setting of values.settings.split(";").map((each) => each.trim())) {
        if (done.has(keyOf([encoder, task, rows, draw, setting]))) continue;
        const line = csvOf([await measure(task, rows, draw, setting)]);
        appendFileSync(output, line);
        process.stdout.write(line);
      }
    }
  }
}
