import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { UserError } from "../errors.ts";
import { pieceDecoder } from "./decode-text.ts";

/** Receives the number of bytes read, and of all bytes of the file. A returned promise is awaited. */
export type OnRead = (done: number, total?: number) => void | Promise<void>;

const PIECE = 2 ** 20;

/**
 * Reads a text file in pieces, without a byte order mark.
 * @throws UserError if the file cannot be read or is not UTF-8.
 */
export async function* textPieces(file: string, onRead?: OnRead): AsyncGenerator<string> {
  const { size: total } = (await stat(file).catch(() => undefined)) ?? {};
  let done = 0;
  const decode = pieceDecoder(file);
  try {
    for await (const bytes of createReadStream(file, { highWaterMark: PIECE })) {
      yield decode(bytes as Uint8Array);
      done += (bytes as Uint8Array).length;
      await onRead?.(done, total);
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (error instanceof UserError || code === undefined) throw error;
    if (code === "ENOENT" || code === "ENOTDIR")
      throw new UserError(`no such file: ${file}`, { code: "file-not-found" });
    throw new UserError(`cannot read ${file}: ${message}`);
  }
  yield decode();
}
