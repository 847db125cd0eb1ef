import { randomUUID } from "node:crypto";
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { writeFailure } from "../checkpoints/atomic-file-node.ts";
import { UserError } from "../errors.ts";

/** File that a run's folder holds while a process writes the run: three lines, its id, its host and a token. */
const LOCK = "run.lock";

/** Gives a lock back, unless somebody took it away. */
export type Unlock = () => Promise<void>;

/**
 * Takes the lock of a run's folder. A lock whose process is gone was left by a crash and is broken; one of another host
 * counts as held, since nobody can tell from here.
 * @throws UserError where another process holds it, or the folder cannot be written.
 */
export async function lockRun(directory: string): Promise<Unlock> {
  const path = join(directory, LOCK);
  const own = `${process.pid}\n${hostname()}\n${randomUUID()}\n`;
  await take(path, own, directory);
  return async () => {
    if ((await textOf(path)) === own) await rm(path, { force: true });
  };
}

async function take(path: string, own: string, directory: string): Promise<void> {
  while (!(await create(path, own))) {
    const held = await textOf(path);
    // It was given back just now.
    if (held === undefined) continue;
    const [pid, host = "", token = ""] = held.split("\n");
    refuseIfHeld(pid!, host, directory);
    // One process breaks a dead lock: the one that holds the lock on that. It is replaced, never absent in between.
    const claim = `${path}.${token || "old"}`;
    await take(claim, own, directory);
    try {
      if ((await textOf(path)) !== held) continue;
      await writeFile(`${claim}.new`, own);
      await rename(`${claim}.new`, path);
      return;
    } finally {
      await rm(claim, { force: true });
    }
  }
}

/** @returns whether there was no such file, and now is, with this text. */
async function create(path: string, text: string): Promise<boolean> {
  try {
    await writeFile(path, text, { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    // On a full disk the file may be there, and empty.
    if ((await textOf(path)) === "") await rm(path, { force: true });
    throw writeFailure(path, error);
  }
}

function refuseIfHeld(pid: string, host: string, directory: string): void {
  const elsewhere = host !== "" && host !== hostname();
  // A lock without a process is one that is being written.
  if (!elsewhere && pid !== "" && !isRunning(Number.parseInt(pid, 10))) return;
  const holder = pid === "" ? "another process" : `process ${pid}${elsewhere ? ` on ${host}` : ""}`;
  throw new UserError(
    `${holder} is writing the run in ${directory}; wait until it ends, or remove ${LOCK} if it is no run`,
  );
}

async function textOf(path: string): Promise<string | undefined> {
  return readFile(path, "utf8").catch(() => undefined);
}

function isRunning(pid: number): boolean {
  if (Number.isNaN(pid)) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
