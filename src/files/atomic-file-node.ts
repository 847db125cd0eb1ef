import { randomUUID } from "node:crypto";
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { UserError } from "../errors.ts";

/** How the names end under which files are written; one that is left was a process's that ended meanwhile. */
const TEMPORARY = /\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.tmp$/;

/**
 * Writes a file so that `path` holds either all of it or what was there before: under a temporary name beside it,
 * flushed to the disk, then renamed, and the folder flushed too. The temporary file is removed where anything fails.
 * @throws UserError where the disk is full or the place cannot be written; what `write` throws passes through.
 */
export async function writeAtomically(path: string, write: (file: FileHandle) => Promise<void>): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    const file = await open(temporary, "wx");
    try {
      await write(file);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await flushFolder(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true });
    throw writeFailure(path, error);
  }
}

/** Appends all of `bytes`; one system call writes at most 2 GiB. */
export async function writeFully(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await file.write(bytes, done, Math.min(bytes.length - done, 2 ** 30))).bytesWritten;
  }
}

/** Removes what {@link writeAtomically} left in a folder, if there is one, where its process was ended meanwhile. */
export async function removeTemporaries(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  for (const name of names.filter((each) => TEMPORARY.test(each))) await rm(join(folder, name), { force: true });
}

/** Milliseconds after which nobody writes a small file any more. */
const OLD = 60_000;

/** Removes what {@link writeAtomically} left of a small file that several processes may write, where one was ended meanwhile. */
export async function removeOldTemporaries(path: string): Promise<void> {
  const folder = dirname(path);
  const names = await readdir(folder).catch(() => []);
  for (const name of names.filter((each) => each.startsWith(`${basename(path)}.`) && TEMPORARY.test(each))) {
    const written = await stat(join(folder, name)).catch(() => undefined);
    if (written && Date.now() - written.mtimeMs > OLD) await rm(join(folder, name), { force: true });
  }
}

/** Makes a folder, and those that it lies in, as far as they are not there. @throws UserError where it cannot be made. */
export async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true }).catch((error: unknown) => {
    throw writeFailure(path, error);
  });
}

/** So that a power cut does not undo a rename or a removal. Windows flushes no folders, and some disks refuse. */
export async function flushFolder(folder: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } catch (error) {
    if (!["EINVAL", "ENOTSUP"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  } finally {
    await handle.close();
  }
}

/** Why `path` cannot be written, as a person would be told; an error of another kind as it is. */
export function writeFailure(path: string, error: unknown): unknown {
  const reason = WRITE_FAILURES[(error as NodeJS.ErrnoException).code ?? ""];
  return reason ? new UserError(`cannot write ${path}: ${reason}`) : error;
}

/** What the system's error codes mean to the person who chose the path. */
const WRITE_FAILURES: Record<string, string> = {
  ENOSPC: "the disk is full; free some space or choose another disk",
  EDQUOT: "your disk quota is used up; free some space or choose another disk",
  EFBIG: "the file is larger than the system allows; choose another disk",
  EROFS: "the disk is read-only; choose another place",
  EACCES: "permission denied; choose another place or change its permissions",
  EPERM: "permission denied; choose another place or change its permissions",
  ENOENT: "its folder does not exist; make the folder first",
  ENOTDIR: "its folder is a file; choose another place",
  EEXIST: "there is a file of that name; remove it or choose another place",
  EISDIR: "there is a folder of that name; choose another name",
};
