import { readFile, stat } from "node:fs/promises";
import { UserError } from "../errors.ts";

/**
 * Reads a picture or sound file.
 * @param held the file's content, if it is not at the path
 * @param refuseLarge throws if a file is too large; called before it is read
 * @throws UserError if there is no such file, or it cannot be read.
 */
export async function mediaFile(
  one: "picture" | "sound",
  path: string,
  held: Uint8Array | undefined,
  refuseLarge: (path: string, bytes: number) => void,
): Promise<Uint8Array> {
  if (held) {
    refuseLarge(path, held.byteLength);
    return held;
  }
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory())
    throw new UserError(`${path} is a folder, not a ${one}; aflora predict takes folders of ${one}s with --file`);
  if (!found?.isFile()) throw new UserError(`there is no ${one} ${path}; check the path`);
  refuseLarge(path, found.size);
  return readFile(path).catch((error: Error) => {
    throw new UserError(`cannot read ${path}: ${error.message}`);
  });
}
