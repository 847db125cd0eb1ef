import { didYouMean, UserError } from "../errors.ts";
import type { TaskData } from "../tasks/example.ts";
import { GLUE_TASKS, glueTaskName } from "../tasks/glue.ts";
import { list } from "../tasks/rows.ts";
import { loadGlueTask } from "./glue-node.ts";
import { loadGsm8k } from "./gsm8k-node.ts";

/** Published tasks beside GLUE's, by name. @param seed of what is held out, where there is no validation split */
const OTHERS: ReadonlyMap<string, (directory: string, seed: number) => Promise<TaskData>> = new Map([
  ["gsm8k", loadGsm8k],
]);

/**
 * Reads a published task from its files, GLUE's or another.
 * @throws UserError where there is no such task, a file is missing or a row is malformed.
 */
export async function loadNamedTask(name: string, directory: string, seed: number): Promise<TaskData> {
  const key = glueTaskName(name);
  const other = OTHERS.get(key);
  if (other) return other(directory, seed);
  if (GLUE_TASKS.has(key)) return loadGlueTask(name, directory);
  const names = [...GLUE_TASKS.keys(), ...OTHERS.keys()];
  throw new UserError(`unknown task "${name}"; there are ${list(names)}${didYouMean(key, names)}`);
}
