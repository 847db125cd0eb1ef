import { UserError } from "../errors.ts";
import { mediaFile } from "./media-file-node.ts";
import { type RawSound, readWav } from "./wav.ts";

const MAX_BYTES = 2 ** 28;

/** Decodes a sound file. @param held its content, if not at the path. @throws UserError if it is missing or too large. */
export async function decodeSound(path: string, seconds: number, held?: Uint8Array): Promise<RawSound> {
  return readWav(await mediaFile("sound", path, held, refuseLargeFile), path, seconds);
}

function refuseLargeFile(path: string, bytes: number): void {
  if (bytes <= MAX_BYTES) return;
  throw new UserError(
    `${path} has ${(bytes / 1e6).toFixed(0)} MB; a sound may have ${MAX_BYTES / 2 ** 20} MiB: cut it`,
  );
}
