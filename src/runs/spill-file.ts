import { open, rm } from "node:fs/promises";
import { opt, UserError } from "../errors.ts";
import { writeFailure } from "../files/atomic-file-node.ts";
import type { SpillFile } from "../training/frozen-blocks/hidden-state-cache.ts";

/** Creates an empty file for data that exceeds training's memory. Only this process reads it. */
export async function openSpillFile(path: string): Promise<SpillFile> {
  const file = await open(path, "w+").catch((error: unknown) => {
    throw writeFailure(path, error);
  });
  return {
    async write(place, bytes) {
      let written = 0;
      try {
        // A nearly full disk may write only a part.
        while (written < bytes.length) {
          const { bytesWritten } = await file.write(bytes, written, bytes.length - written, place + written);
          written += bytesWritten;
        }
      } catch (error) {
        throw writeFailure(path, error);
      }
    },
    async read(place, bytes) {
      const { bytesRead } = await file.read(bytes, 0, bytes.length, place);
      if (bytesRead < bytes.length)
        throw new UserError(`${path} was changed by another process; ${opt("resume")} continues without it`);
    },
    async remove() {
      await file.close();
      await rm(path, { force: true });
    },
  };
}
