import { UserError } from "../errors.ts";

/**
 * Makes a function that decodes a file's bytes as UTF-8, piece by piece, without a byte order mark. The last call has no bytes.
 * @param file name for the error message
 * @throws UserError if the bytes are not UTF-8
 */
export function pieceDecoder(file: string): (bytes?: Uint8Array) => string {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  return (bytes) => {
    try {
      return decoder.decode(bytes, { stream: bytes !== undefined });
    } catch {
      throw new UserError(`${file} is not UTF-8 text; save it with that encoding`);
    }
  };
}
