import { closeSync, openSync, readSync } from "node:fs";
import { UserError } from "../errors.ts";

/**
 * Fills `buffer` from byte `position` of a file; the file is open only during the read.
 * @param name the tensor that is read, for error messages.
 * @throws UserError where the file cannot be read or ends too early.
 */
export function readRange(path: string, name: string, buffer: ArrayBuffer, position: number): void {
  const bytes = new Uint8Array(buffer);
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (error) {
    throw new UserError(`cannot read tensor "${name}": ${(error as Error).message}`);
  }
  try {
    // One system call reads at most 2 GiB.
    for (let done = 0; done < bytes.length; ) {
      const count = readSync(file, bytes, done, Math.min(bytes.length - done, 2 ** 30), position + done);
      if (count === 0) {
        throw new UserError(
          `${path} is truncated: tensor "${name}" needs ${bytes.length} bytes and only ${done} are left; get the file again`,
        );
      }
      done += count;
    }
  } finally {
    closeSync(file);
  }
}
