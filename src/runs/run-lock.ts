import { readFile, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { UserError } from "../errors.ts";
import { writeFailure } from "../files/atomic-file-node.ts";
import { holdFolder, isFolderHeld } from "../files/kernel-lock-node.ts";

/**
 * Lock file in a run folder while a process writes the run: process id and host, one per line. On one host, the kernel
 * decides which process may write. The file informs people, and other hosts that share the folder.
 */
const LOCK = "run.lock";

export type Unlock = () => Promise<void>;

/** Locks a run folder. The lock ends with the process, however that ends. */
export async function lockRun(directory: string): Promise<Unlock> {
  const path = join(directory, LOCK);
  const release = await holdFolder(directory);
  if (!release) throw await refusal(directory);
  try {
    const own = `${process.pid}\n${hostname()}\n`;
    await writeName(path, own, directory);
    return async () => {
      if ((await textOf(path)) === own) await rm(path, { force: true });
      await release();
    };
  } catch (error) {
    await release();
    throw error;
  }
}

/** Whether a process writes the run in a folder. For other hosts, the lock file decides. */
export async function isRunLocked(directory: string): Promise<boolean> {
  const text = await textOf(join(directory, LOCK));
  return text !== undefined && (isElsewhere(text) || (await isFolderHeld(directory)));
}

async function writeName(path: string, own: string, directory: string): Promise<void> {
  try {
    // Another host may create the file at the same time.
    await writeFile(path, own, { flag: "wx" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") {
      // If the disk is full, the file may exist, but empty.
      if ((await textOf(path)) === "") await rm(path, { force: true });
      throw writeFailure(path, error);
    }
    if (isElsewhere((await textOf(path)) ?? "")) throw await refusal(directory);
    // The kernel lock proves that the process of this host that left the file has ended.
    await writeFile(path, own).catch((reason: unknown) => {
      throw writeFailure(path, reason);
    });
  }
}

async function refusal(directory: string): Promise<UserError> {
  const text = (await textOf(join(directory, LOCK))) ?? "";
  const [pid = "", host = ""] = text.split("\n");
  const holder = /^\d{1,10}$/.test(pid) ? `process ${pid}` : "another process";
  return new UserError(
    isElsewhere(text)
      ? `${holder} on ${host} is writing the run in ${directory}; wait until it ends, or remove ${LOCK} if it has`
      : `${holder} is writing the run in ${directory}; wait until it ends`,
    { code: "invalid-run" },
  );
}

function isElsewhere(text: string): boolean {
  const host = text.split("\n")[1] ?? "";
  return host !== "" && host !== hostname();
}

async function textOf(path: string): Promise<string | undefined> {
  return readFile(path, "utf8").then(
    (text) => text.slice(0, 1000),
    () => undefined,
  );
}
