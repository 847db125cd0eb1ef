import { didYouMean, UserError } from "../errors.ts";
import type { TaskData } from "../tasks/example.ts";
import { GLUE_TASKS, glueTaskName } from "../tasks/glue.ts";
import { list } from "../tasks/rows.ts";
import { loadGlueTask } from "./glue-node.ts";
import { loadGsm8k } from "./gsm8k-node.ts";

/** Published tasks besides GLUE's, by name. @param seed of the held-out part, if there is no validation split */
const OTHERS: ReadonlyMap<string, (directory: string, seed: number) => Promise<TaskData>> = new Map([
  ["gsm8k", loadGsm8k],
]);

/**
 * Reads a published task, GLUE's or another, from its files.
 * @throws UserError if there is no such task, a file is missing or a row is malformed.
 */
export async function loadNamedTask(name: string, directory: string, seed: number): Promise<TaskData> {
  const key = glueTaskName(name);
  const other = OTHERS.get(key);
  if (other) return other(directory, seed);
  if (GLUE_TASKS.has(key)) return loadGlueTask(name, directory);
  const names = [...GLUE_TASKS.keys(), ...OTHERS.keys()];
  throw new UserError(`unknown task "${name}"; there are ${list(names)}${didYouMean(key, names)}`);
}
