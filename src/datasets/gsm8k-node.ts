import { join } from "node:path";
import type { TaskData } from "../tasks/example.ts";
import { GSM8K } from "../tasks/gsm8k.ts";
import { holdOut } from "../tasks/split.ts";
import { readTable } from "./read-table-node.ts";
import { taskOfTable } from "./table-task.ts";

/** Number of training examples that the AFLoRA authors' released code uses for validation. */
const HELD_OUT = 120;

/**
 * Reads GSM8K in its published form (Cobbe et al. 2021, arXiv 2110.14168): `train.jsonl` with `question` and `answer`, whose
 * reasoning ends in `#### 72`. It has no validation split: 120 training examples are held out, or a tenth of a smaller subset.
 * @param seed of the split
 * @throws UserError if the file is missing or lacks these columns.
 */
export async function loadGsm8k(directory: string, seed: number): Promise<TaskData> {
  const file = join(directory, "train.jsonl");
  const table = await readTable(file, "jsonl");
  const { kind, ...columns } = GSM8K;
  const task = taskOfTable(table, columns, { kind });
  const fraction = Math.min(HELD_OUT / task.train.length, 0.1);
  return holdOut({ ...task, name: "gsm8k", origin: { files: [file] } }, fraction, seed);
}
