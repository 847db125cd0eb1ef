import { UserError } from "../errors.ts";

/** Most bytes of a picture's file, and most pixels. */
const MAX_BYTES = 2 ** 26;
const MAX_PIXELS = 2 ** 26;

/** @throws UserError where a picture's file is larger than is read. */
export function refuseLargeFile(path: string, bytes: number): void {
  if (bytes <= MAX_BYTES) return;
  throw new UserError(
    `${path} has ${(bytes / 1e6).toFixed(0)} MB; a picture may have ${MAX_BYTES / 2 ** 20} MiB: make it smaller`,
  );
}

/** @throws UserError where a picture has more pixels than are read. */
export function refuseLargePicture(path: string, { width, height }: { width: number; height: number }): void {
  if (width * height <= MAX_PIXELS) return;
  throw new UserError(
    `${path} has ${width} × ${height} pixels; a picture may have ${(MAX_PIXELS / 1e6).toFixed(0)} million: make it smaller`,
  );
}
