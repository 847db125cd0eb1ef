import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { didYouMean, UserError } from "../errors.ts";
import type { EvaluationSplit, MetricName, TaskData } from "../tasks/example.ts";
import { list, readTable, type Table, type TableOptions } from "./rows.ts";
import { type Columns, columnIndex, examplesOf } from "./table.ts";

interface GlueTask extends TableOptions, Columns {
  /** Names in the order of Hugging Face's `glue` data set; empty for regression. */
  labels: string[];
  /** How the files write them, where not by name. */
  written?: string[];
  /** The first picks the best epoch. */
  metrics: MetricName[];
  /** Validation splits and their files, where there is not just `dev.tsv`. */
  validation?: Record<string, string>;
}

const entailment = ["entailment", "not_entailment"];
const digits = ["0", "1"];

const tasks: Record<string, GlueTask> = {
  cola: {
    labels: ["unacceptable", "acceptable"],
    written: digits,
    metrics: ["matthews_correlation"],
    header: ["source", "label", "mark", "sentence"],
    text: "sentence",
    label: "label",
  },
  sst2: { labels: ["negative", "positive"], written: digits, metrics: ["accuracy"], text: "sentence", label: "label" },
  mrpc: {
    labels: ["not_equivalent", "equivalent"],
    written: digits,
    // The paper picks MRPC's best epoch by F1.
    metrics: ["f1", "accuracy"],
    text: "#1 String",
    textPair: "#2 String",
    label: "Quality",
  },
  stsb: {
    labels: [],
    metrics: ["pearson", "spearmanr"],
    text: "sentence1",
    textPair: "sentence2",
    label: "score",
  },
  rte: { labels: entailment, metrics: ["accuracy"], text: "sentence1", textPair: "sentence2", label: "label" },
  qnli: { labels: entailment, metrics: ["accuracy"], text: "question", textPair: "sentence", label: "label" },
  mnli: {
    labels: ["entailment", "neutral", "contradiction"],
    metrics: ["accuracy"],
    text: "sentence1",
    textPair: "sentence2",
    label: "gold_label",
    validation: { validation_matched: "dev_matched.tsv", validation_mismatched: "dev_mismatched.tsv" },
  },
  qqp: {
    labels: ["not_duplicate", "duplicate"],
    written: digits,
    metrics: ["accuracy", "f1"],
    text: "question1",
    textPair: "question2",
    label: "is_duplicate",
    // A few rows of the official file are cut off; Hugging Face's reader leaves them out as well.
    skipShort: true,
  },
};

/** MRPC's file as Microsoft gives it. */
const paraphrases = "msr_paraphrase_train.txt";

/** Names of the GLUE tasks, as `loadGlueTask` takes them. */
export const glueTaskNames: readonly string[] = Object.keys(tasks);

/** Metrics of the GLUE task of exactly this name; undefined where there is none. */
export function glueMetrics(name: string): MetricName[] | undefined {
  return Object.hasOwn(tasks, name) ? tasks[name]!.metrics : undefined;
}

/**
 * Reads a GLUE task in the official layout. `name` may be written in any case and with dashes (`SST-2`); `directory` holds
 * the official folders (`SST-2/` and so on) or the task's own files. MRPC may also be Microsoft's `msr_paraphrase_train.txt`
 * with GLUE's list of validation pairs, `dev_ids.tsv`.
 * @throws UserError where the task is unknown, a file is missing, or a row is malformed.
 */
export async function loadGlueTask(name: string, directory: string): Promise<TaskData> {
  const key = glueTaskName(name);
  const task = Object.hasOwn(tasks, key) ? tasks[key] : undefined;
  if (!task) {
    throw new UserError(
      `unknown GLUE task "${name}"; there are ${list(glueTaskNames)}${didYouMean(key, glueTaskNames)}`,
    );
  }
  const kind = task.labels.length ? "classification" : "regression";
  const own = (await entriesOf(directory)).find((entry) => glueTaskName(entry) === key);
  const folder = own === undefined ? directory : join(directory, own);
  const files = await entriesOf(folder);
  const read = (file: string) => readTable(join(folder, file), "tsv", task);
  const examples = (table: Table) => examplesOf(table, task, kind, task.written ?? task.labels);

  let train: Table;
  const validation: EvaluationSplit[] = [];
  if (key === "mrpc" && !files.includes("train.tsv") && files.includes(paraphrases)) {
    const split = await splitParaphrases(await read(paraphrases), folder);
    train = split.train;
    validation.push({ name: "validation", examples: examples(split.validation) });
  } else {
    train = await read("train.tsv");
    for (const [split, file] of Object.entries(task.validation ?? { validation: "dev.tsv" })) {
      validation.push({ name: split, examples: examples(await read(file)) });
    }
  }
  const { labels, metrics } = task;
  return { name: key, kind, labels, train: examples(train), validation, metrics };
}

/** `STS-B` → `stsb`. */
export function glueTaskName(name: string): string {
  return name.toLowerCase().replace(/[-_]/g, "");
}

async function entriesOf(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch {
    throw new UserError(`no such folder: ${folder}`);
  }
}

/** GLUE's validation rows of MRPC are those of Microsoft's training file that `dev_ids.tsv` lists as pairs of ids. */
async function splitParaphrases(table: Table, folder: string): Promise<{ train: Table; validation: Table }> {
  const ids = await readTable(join(folder, "dev_ids.tsv"), "tsv", { header: ["#1 ID", "#2 ID"] });
  const pairs = new Set(ids.rows.map(({ cells }) => cells.join()));
  const columns = ids.columns.map((name) => columnIndex(table, name));
  const part = (held: boolean) => ({
    ...table,
    rows: table.rows.filter(({ cells }) => pairs.has(columns.map((column) => cells[column]).join()) === held),
  });
  return { train: part(false), validation: part(true) };
}
