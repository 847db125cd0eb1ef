import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { didYouMean, UserError } from "../errors.ts";
import type { EvaluationSplit, TaskData } from "../tasks/example.ts";
import { examplesOf } from "../tasks/examples.ts";
import { GLUE_TASKS, glueTaskName } from "../tasks/glue.ts";
import { type Columns, columnIndex, list, type Table } from "../tasks/rows.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import type { TableOptions } from "./parse-table.ts";
import { readTable } from "./read-table-node.ts";

interface Layout extends TableOptions, Columns {
  labelsInFile?: string[];
  /** Validation splits and their files (default: only `dev.tsv`). */
  validation?: Record<string, string>;
}

const digits = ["0", "1"];
const sentences = { text: "sentence1", textPair: "sentence2" };

const layouts: Readonly<Record<string, Layout>> = {
  cola: {
    labelsInFile: digits,
    header: ["source", "label", "mark", "sentence"],
    text: "sentence",
    label: "label",
  },
  sst2: { labelsInFile: digits, text: "sentence", label: "label" },
  mrpc: { labelsInFile: digits, text: "#1 String", textPair: "#2 String", label: "Quality" },
  stsb: { ...sentences, label: "score" },
  rte: { ...sentences, label: "label" },
  qnli: { text: "question", textPair: "sentence", label: "label" },
  mnli: {
    ...sentences,
    label: "gold_label",
    validation: { validation_matched: "dev_matched.tsv", validation_mismatched: "dev_mismatched.tsv" },
  },
  qqp: {
    labelsInFile: digits,
    text: "question1",
    textPair: "question2",
    label: "is_duplicate",
    // A few rows of the official file are cut off; Hugging Face's reader skips them too.
    skipShort: true,
  },
};

const paraphrases = "msr_paraphrase_train.txt";

/**
 * Reads a GLUE task in the official layout. `name` may be in any case and with dashes (`SST-2`); `directory` holds the
 * official folders (`SST-2/` and so on) or the task's own files. MRPC may also be Microsoft's
 * `msr_paraphrase_train.txt` with GLUE's list of validation pairs, `dev_ids.tsv`.
 * @throws UserError if the task is unknown, a file is missing, or a row is malformed.
 */
export async function loadGlueTask(name: string, directory: string): Promise<TaskData> {
  const key = glueTaskName(name);
  const task = GLUE_TASKS.get(key);
  if (!task) {
    const names = [...GLUE_TASKS.keys()];
    throw new UserError(`unknown GLUE task "${name}"; there are ${list(names)}${didYouMean(key, names)}`);
  }
  const layout = layouts[key]!;
  const kind = findTaskKind(task.kind);
  const own = (await entriesOf(directory)).find((entry) => glueTaskName(entry) === key);
  const folder = own === undefined ? directory : join(directory, own);
  const entries = await entriesOf(folder);
  const files: string[] = [];
  const path = (file: string): string => {
    files.push(join(folder, file));
    return files.at(-1)!;
  };
  const read = (file: string) => readTable(path(file), "tsv", layout);
  const examples = (table: Table) => examplesOf(table, layout, kind, layout.labelsInFile ?? task.labels);

  let train: Table;
  const validation: EvaluationSplit[] = [];
  if (key === "mrpc" && !entries.includes("train.tsv") && entries.includes(paraphrases)) {
    const split = await splitParaphrases(await read(paraphrases), path("dev_ids.tsv"));
    train = split.train;
    validation.push({ name: "validation", examples: examples(split.validation) });
  } else {
    train = await read("train.tsv");
    for (const [split, file] of Object.entries(layout.validation ?? { validation: "dev.tsv" })) {
      validation.push({ name: split, examples: examples(await read(file)) });
    }
  }
  return { name: key, ...task, train: examples(train), validation, origin: { files } };
}

async function entriesOf(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch {
    throw new UserError(`no such folder: ${folder}`, { code: "file-not-found" });
  }
}

/** Splits MRPC: GLUE's validation rows are the rows of Microsoft's file that `dev_ids.tsv` lists as pairs of ids. */
async function splitParaphrases(table: Table, idFile: string): Promise<{ train: Table; validation: Table }> {
  const ids = await readTable(idFile, "tsv", { header: ["#1 ID", "#2 ID"] });
  const pairs = new Set(ids.rows.map(({ cells }) => [...cells].join()));
  const columns = ids.columns.map((name) => columnIndex(table, name));
  const part = (held: boolean) => ({
    ...table,
    rows: [...table.rows].filter(({ cells }) => pairs.has(columns.map((column) => cells.at(column)).join()) === held),
  });
  return { train: part(false), validation: part(true) };
}
