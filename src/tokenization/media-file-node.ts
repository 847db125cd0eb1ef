import { readFile, stat } from "node:fs/promises";
import { UserError } from "../errors.ts";

/**
 * The bytes of a picture's or sound's file.
 * @param held the file itself, where it is not at the path
 * @param refuseLarge throws where a file has too many bytes; asked before it is read
 * @throws UserError where there is none, or it cannot be read.
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
