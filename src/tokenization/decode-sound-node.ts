import { readFile, stat } from "node:fs/promises";
import { UserError } from "../errors.ts";
import { type RawSound, readWav } from "./wav.ts";

/** Most bytes of a sound's file. */
const MAX_BYTES = 2 ** 28;

/** Decodes a sound's file, as {@link readWav}. @throws UserError where there is none, or it is too large. */
export async function decodeSound(path: string, seconds: number): Promise<RawSound> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory())
    throw new UserError(`${path} is a folder, not a sound; aflora predict takes folders of sounds with --file`);
  if (!found?.isFile()) throw new UserError(`there is no sound ${path}; check the path`);
  if (found.size > MAX_BYTES) {
    throw new UserError(
      `${path} has ${(found.size / 1e6).toFixed(0)} MB; a sound may have ${MAX_BYTES / 2 ** 20} MiB: cut it`,
    );
  }
  const bytes = await readFile(path).catch((error: Error) => {
    throw new UserError(`cannot read ${path}: ${error.message}`);
  });
  return readWav(bytes, path, seconds);
}
