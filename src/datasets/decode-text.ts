import { UserError } from "../errors.ts";

/** Makes the error about a file that is not UTF-8 text. */
export const notUtf8 = (file: string): UserError =>
  new UserError(`${file} is not UTF-8 text; save it with that encoding`);

/**
 * Decodes a file's bytes as UTF-8, without a byte order mark.
 * @param file name for the error message
 * @throws UserError if the bytes are not UTF-8.
 */
export function decodeText(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw notUtf8(file);
  }
}
