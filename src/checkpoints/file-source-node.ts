import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../errors.ts";
import type { ByteSource } from "../files/byte-source.ts";
import type { ModelFiles } from "./model-files.ts";
import { openPickle } from "./pickle-node.ts";

/** Upper limit on one read call, in bytes: Linux reads at most 2 GiB. */
const MAX_READ = 2 ** 30;

/**
 * Creates a source over a file on the disk. The file is open only during a read, so nothing needs closing. Synchronous
 * reads may happen much later, so they fail if the file has changed since.
 * @throws UserError if it does not exist or is not a file.
 */
export async function fileSource(path: string): Promise<ByteSource> {
  const { size, mtimeMs } = await withFile(path, (file) => file.stat());
  return {
    location: path,
    size,
    read: (start, end) =>
      withFile(path, async (file) => {
        const bytes = new Uint8Array(Math.max(0, Math.min(end, size) - start));
        let done = 0;
        while (done < bytes.length) {
          const length = Math.min(bytes.length - done, MAX_READ);
          const { bytesRead } = await file.read(bytes, done, length, start + done);
          // The file shrank.
          if (bytesRead === 0) return bytes.slice(0, done);
          done += bytesRead;
        }
        return bytes;
      }),
    readNow(start, end) {
      const bytes = new Uint8Array(Math.max(0, Math.min(end, size) - start));
      let file: number | undefined;
      try {
        file = openSync(path, "r");
        let done = 0;
        while (done < bytes.length) {
          const bytesRead = readSync(file, bytes, done, Math.min(bytes.length - done, MAX_READ), start + done);
          if (bytesRead === 0) return bytes.slice(0, done);
          done += bytesRead;
        }
        if (fstatSync(file).mtimeMs !== mtimeMs)
          throw new UserError(`${path} changed since it was opened; load it again`);
        return bytes;
      } catch (error) {
        if (error instanceof UserError) throw error;
        throw new UserError(`cannot read ${path}: ${(error as Error).message}`, { cause: error });
      } finally {
        if (file !== undefined) closeSync(file);
      }
    },
  };
}

/** Returns the files of a folder on the disk. Weights may also be pickles. */
export function folderFiles(directory: string): ModelFiles {
  return {
    location: directory,
    formats: [{ file: "pytorch_model.bin", open: openPickle }],
    async open(name) {
      try {
        return await fileSource(join(directory, name));
      } catch (error) {
        const code = ((error as Error).cause as NodeJS.ErrnoException | undefined)?.code;
        if (code === "ENOENT" || code === "ENOTDIR") return undefined;
        throw error;
      }
    },
  };
}

async function withFile<Result>(path: string, action: (file: FileHandle) => Promise<Result>): Promise<Result> {
  let file: FileHandle | undefined;
  try {
    // Check first: opening a pipe blocks until its other end is opened.
    if (!(await stat(path)).isFile()) throw new UserError(`${path} is not a file`);
    file = await open(path);
    return await action(file);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`cannot read ${path}: ${(error as Error).message}`, { cause: error });
  } finally {
    await file?.close();
  }
}
