import { readdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { opt, UserError } from "../errors.ts";
import { makeFolder } from "../files/atomic-file-node.ts";
import { type Checkpoint, readCheckpoint, writeCheckpoint } from "./checkpoint-file.ts";

export const CHECKPOINTS = "checkpoints";

/** Number of checkpoints to keep. If the newest is damaged, the run resumes from the one before. */
const KEPT = 2;

const NAME = /^step-(\d+)\.safetensors$/;

export interface FoundCheckpoint extends Checkpoint {
  path: string;
  /** Notes for the user about newer checkpoints that could not be read. */
  notes: string[];
}

export async function saveCheckpoint(directory: string, checkpoint: Checkpoint): Promise<void> {
  await makeFolder(join(directory, CHECKPOINTS));
  await writeCheckpoint(join(directory, CHECKPOINTS, `step-${checkpoint.state.step}.safetensors`), checkpoint);
  for (const path of (await checkpointsOf(directory)).slice(KEPT)) await rm(path, { force: true });
}

/**
 * Finds the newest undamaged checkpoint of a run.
 * @returns undefined if the run was cut off before its first checkpoint
 */
export async function findCheckpoint(directory: string, stepsRecorded: number): Promise<FoundCheckpoint | undefined> {
  const paths = await checkpointsOf(directory);
  if (paths.length === 0) {
    if (stepsRecorded === 0) return undefined;
    throw new UserError(
      `there is nothing to resume from: ${join(directory, CHECKPOINTS)} holds no checkpoint; run again with ${opt("overwrite")}`,
    );
  }
  const notes: string[] = [];
  for (const path of paths) {
    try {
      return { ...(await readCheckpoint(path)), path, notes };
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      notes.push(`${error.message}; the checkpoint before it is used`);
    }
  }
  throw new UserError(`no checkpoint of ${directory} can be read; run again with ${opt("overwrite")} (${notes[0]})`);
}

/** Removes the checkpoints that are newer than the one found. They are damaged. */
export async function removeNewer({ path, notes }: FoundCheckpoint): Promise<void> {
  const newer = (await checkpointsOf(dirname(dirname(path)))).slice(0, notes.length);
  for (const each of newer) await rm(each, { force: true });
}

export async function removeCheckpoints(directory: string): Promise<void> {
  for (const path of await checkpointsOf(directory)) await rm(path, { force: true });
}

export async function hasCheckpoint(directory: string): Promise<boolean> {
  return (await checkpointsOf(directory)).length > 0;
}

/** Paths of a run's checkpoints, newest first. */
async function checkpointsOf(directory: string): Promise<string[]> {
  const names = await readdir(join(directory, CHECKPOINTS)).catch(() => []);
  return names
    .flatMap((name) => {
      const match = NAME.exec(name);
      return match ? [{ name, step: Number(match[1]) }] : [];
    })
    .sort((a, b) => b.step - a.step)
    .map(({ name }) => join(directory, CHECKPOINTS, name));
}
