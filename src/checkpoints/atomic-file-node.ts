import { randomUUID } from "node:crypto";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { UserError } from "../errors.ts";

/**
 * Writes a file so that `path` holds either all of it or what was there before: under a temporary name beside it,
 * flushed to the disk, then renamed. The temporary file is removed where anything fails.
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
  } catch (error) {
    await rm(temporary, { force: true });
    throw writeFailure(path, error);
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
  EISDIR: "there is a folder of that name; choose another name",
};
