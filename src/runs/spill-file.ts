import { open, rm } from "node:fs/promises";
import { UserError } from "../errors.ts";
import { writeFailure } from "../files/atomic-file-node.ts";
import type { SpillFile } from "../training/frozen-blocks/hidden-state-cache.ts";

/**
 * A file for what training keeps beyond memory, begun anew; its process alone reads it.
 * @throws UserError where the disk is full or the place cannot be written; so do its writes.
 */
export async function openSpillFile(path: string): Promise<SpillFile> {
  const file = await open(path, "w+").catch((error: unknown) => {
    throw writeFailure(path, error);
  });
  return {
    async write(place, bytes) {
      let written = 0;
      try {
        // A disk that fills up takes a part.
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
        throw new UserError(`${path} was changed by another process; --resume continues without it`);
    },
    async remove() {
      await file.close();
      await rm(path, { force: true });
    },
  };
}
