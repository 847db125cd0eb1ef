import { randomUUID } from "node:crypto";
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { UserError } from "../errors.ts";

/** Suffix of temporary files. A leftover one belongs to a process that was killed while it wrote. */
const TEMPORARY = /\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.tmp$/;

/**
 * Writes a file atomically: `path` holds either all of it or its earlier content. The file is written under a temporary
 * name beside it, flushed and renamed, and the folder is flushed too. On failure, the temporary file is removed.
 * @throws UserError if the disk is full or the path cannot be written. Errors of `write` pass through.
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

/** Removes temporary files that killed processes left in a folder. The folder need not exist. */
export async function removeTemporaries(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  for (const name of names.filter((each) => TEMPORARY.test(each))) await rm(join(folder, name), { force: true });
}

/** Age in milliseconds at which a temporary small file is a leftover. */
const OLD = 60_000;

/** Removes leftover temporary files of one small file that several processes may write. */
export async function removeOldTemporaries(path: string): Promise<void> {
  const folder = dirname(path);
  const names = await readdir(folder).catch(() => []);
  for (const name of names.filter((each) => each.startsWith(`${basename(path)}.`) && TEMPORARY.test(each))) {
    const written = await stat(join(folder, name)).catch(() => undefined);
    if (written && Date.now() - written.mtimeMs > OLD) await rm(join(folder, name), { force: true });
  }
}

/** Creates a folder and its missing parents. @throws UserError if it cannot be created. */
export async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true }).catch((error: unknown) => {
    throw writeFailure(path, error);
  });
}

/** Flushes a folder, so that a rename or removal survives a power cut. Windows cannot; some disks refuse. */
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

/** Returns a UserError that says why `path` cannot be written, or the error itself if the reason is not known. */
export function writeFailure(path: string, error: unknown): unknown {
  const reason = WRITE_FAILURES[(error as NodeJS.ErrnoException).code ?? ""];
  return reason ? new UserError(`cannot write ${path}: ${reason}`, { code: "cannot-write" }) : error;
}

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
