import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../errors.ts";
import type { TaskData } from "../tasks/example.ts";
import { GSM8K, MATH_10K } from "../tasks/gsm8k.ts";
import type { Table } from "../tasks/rows.ts";
import { holdOut } from "../tasks/split.ts";
import { readTable } from "./read-table-node.ts";
import { taskOfTable } from "./table-task.ts";

/** Number of training examples that the AFLoRA authors' released code uses for validation. */
const HELD_OUT = 120;

/**
 * Reads the examples for GSM8K (Cobbe et al. 2021, arXiv 2110.14168): `math_10k.json` of LLM-Adapters, on which AFLoRA's authors trained,
 * if the folder has it; otherwise GSM8K's `train.jsonl` with `question` and `answer`, whose reasoning ends in `#### 72`. Neither has a
 * validation split: 120 training examples are held out, or a tenth of a smaller subset.
 * @param seed of the split
 * @throws UserError if the file is missing or malformed.
 */
export async function loadGsm8k(directory: string, seed: number): Promise<TaskData> {
  const ofPaper = join(directory, "math_10k.json");
  const isPapers = existsSync(ofPaper);
  const file = isPapers ? ofPaper : join(directory, "train.jsonl");
  const table = isPapers ? await readRows(file) : await readTable(file, "jsonl");
  const { kind, ...columns } = isPapers ? MATH_10K : GSM8K;
  const task = taskOfTable(table, columns, { kind });
  const fraction = Math.min(HELD_OUT / task.train.length, 0.1);
  const note = isPapers
    ? "training on math_10k.json of LLM-Adapters"
    : `training on GSM8K's own rows: ${directory} has no math_10k.json, on which the paper's models trained`;
  return holdOut({ ...task, name: "gsm8k", origin: { files: [file] }, notes: [note] }, fraction, seed);
}

/** Reads a JSON array of objects. @throws UserError if it is none */
async function readRows(file: string): Promise<Table> {
  const columns = ["instruction", "input", "output"] as const;
  const rows = await readFile(file, "utf8")
    .then(JSON.parse)
    .catch(() => undefined);
  if (!Array.isArray(rows) || !rows.every((row) => typeof row === "object" && row !== null))
    throw new UserError(
      `${file} is no JSON array of objects with ${columns.join(", ")}; get it again from LLM-Adapters`,
    );
  return {
    source: file,
    columns,
    rows: rows.map((row: Partial<Record<string, unknown>>, i) => ({
      line: i + 1,
      cells: columns.map((name) => row[name]),
    })),
  };
}
