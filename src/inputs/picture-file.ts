import { UserError } from "../errors.ts";

/** Upper limits on a picture file's bytes and on its pixels. */
const MAX_BYTES = 2 ** 26;
const MAX_PIXELS = 2 ** 26;
/** Upper limit on either side, that of JPEG. */
const MAX_SIDE = 65_535;

/** @throws UserError if a picture file exceeds the limit on bytes. */
export function refuseLargeFile(path: string, bytes: number): void {
  if (bytes <= MAX_BYTES) return;
  throw new UserError(
    `${path} has ${(bytes / 1e6).toFixed(0)} MB; a picture may have ${MAX_BYTES / 2 ** 20} MiB: make it smaller`,
  );
}

/** @throws UserError if a picture exceeds the limit on pixels. */
export function refuseLargePicture(path: string, { width, height }: { width: number; height: number }): void {
  if (width * height <= MAX_PIXELS && Math.max(width, height) <= MAX_SIDE) return;
  throw new UserError(
    `${path} has ${width} × ${height} pixels; a picture may have ${(MAX_PIXELS / 1e6).toFixed(0)} million, and ${MAX_SIDE} on a side: make it smaller`,
  );
}
