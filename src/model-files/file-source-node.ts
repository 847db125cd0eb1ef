import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../errors.ts";
import type { ByteSource } from "../files/byte-source.ts";
import type { ModelFiles } from "./model-files.ts";
import { openPickle } from "./pickle-node.ts";

/** Most bytes of one system call: Linux gives at most 2 GiB. */
const MAX_READ = 2 ** 30;

/**
 * A file on the disk. It is open only during a read, so there is nothing to close. What is read without waiting may be read long after: it is
 * refused where the file has changed since.
 * @throws UserError where it is not there or no file.
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
          // The file is shorter than it was.
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

/** The files of a folder on the disk; weights may be pickles, too. */
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

async function withFile<Result>(path: string, use: (file: FileHandle) => Promise<Result>): Promise<Result> {
  let file: FileHandle | undefined;
  try {
    // Before it is opened: what opens a pipe waits for its other end, and nothing ends that.
    if (!(await stat(path)).isFile()) throw new UserError(`${path} is not a file`);
    file = await open(path);
    return await use(file);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`cannot read ${path}: ${(error as Error).message}`, { cause: error });
  } finally {
    await file?.close();
  }
}
