import { UserError } from "../errors.ts";

/**
 * A file's bytes as text; a byte-order mark is dropped.
 * @param file its name, for the error message
 * @throws UserError where they are not UTF-8.
 */
export function decodeText(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new UserError(`${file} is not UTF-8 text; save it with that encoding`);
  }
}
