import { readFile, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { UserError } from "../errors.ts";
import { writeFailure } from "../files/atomic-file-node.ts";
import { holdFolder, isFolderHeld } from "../files/kernel-lock-node.ts";

/**
 * File that a run's folder holds while a process writes the run: its id and its host, a line each. Among processes of one
 * host the kernel decides who may write; the file tells people, and other hosts that share the folder.
 */
const LOCK = "run.lock";

/** Gives a lock back. */
export type Unlock = () => Promise<void>;

/**
 * Takes the lock of a run's folder, which ends with the process, however that ends.
 * @throws UserError where another process of this host holds it, or one of another host has left its name, or the folder
 * cannot be written.
 */
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

/** Whether a process is writing the run in a folder; of other hosts, whether one has said so. */
export async function isRunLocked(directory: string): Promise<boolean> {
  const text = await textOf(join(directory, LOCK));
  return text !== undefined && (isElsewhere(text) || (await isFolderHeld(directory)));
}

async function writeName(path: string, own: string, directory: string): Promise<void> {
  try {
    // Another host may come at the same time.
    await writeFile(path, own, { flag: "wx" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") {
      // On a full disk the file may be there, and empty.
      if ((await textOf(path)) === "") await rm(path, { force: true });
      throw writeFailure(path, error);
    }
    if (isElsewhere((await textOf(path)) ?? "")) throw await refusal(directory);
    // The kernel says that whoever of this host left it has ended.
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
  );
}

/** Whether a lock's text names another host: there nobody here can ask the kernel. */
function isElsewhere(text: string): boolean {
  const host = text.split("\n")[1] ?? "";
  return host !== "" && host !== hostname();
}

/** At most as much as a lock has; nothing where there is none or it cannot be read. */
async function textOf(path: string): Promise<string | undefined> {
  return readFile(path, "utf8").then(
    (text) => text.slice(0, 1000),
    () => undefined,
  );
}
