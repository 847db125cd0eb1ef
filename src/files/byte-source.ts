import { UserError } from "../errors.ts";

/** Bytes that are read by range: a file, a URL, a `Blob`, or bytes in memory. */
export interface ByteSource {
  /** Where the bytes are, for error messages: a path, a URL or a name. */
  readonly location: string;
  /** Number of bytes. */
  readonly size: number;
  /**
   * The bytes `[start, end)`; fewer where the source ends before. The array is the caller's own and begins its buffer, so
   * that numbers may be looked at in it without a copy.
   * @throws UserError where the source cannot be read (any more).
   */
  read(start: number, end: number): Promise<Uint8Array<ArrayBuffer>>;
  /** The same without waiting; absent where that cannot be. */
  readNow?(start: number, end: number): Uint8Array<ArrayBuffer>;
}

/** All bytes of a source. */
export function readAll(source: ByteSource): Promise<Uint8Array<ArrayBuffer>> {
  return source.read(0, source.size);
}

/** All bytes of a source as UTF-8 text; a byte order mark stays in it. */
export async function readText(source: ByteSource): Promise<string> {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(await readAll(source));
}

/**
 * The bytes `[start, end)` of a checkpoint that hold a tensor.
 * @param name the tensor's, for error messages.
 * @throws UserError where they cannot be read or the source ends too early.
 */
export async function readTensor(
  source: ByteSource,
  name: string,
  start: number,
  end: number,
): Promise<Uint8Array<ArrayBuffer>> {
  return wholeTensor(source, name, await source.read(start, end), end - start);
}

/** The same without waiting, of a source that can. */
export const readTensorNow = (
  source: ByteSource & Required<Pick<ByteSource, "readNow">>,
  name: string,
  start: number,
  end: number,
): Uint8Array<ArrayBuffer> => wholeTensor(source, name, source.readNow(start, end), end - start);

function wholeTensor(
  { location }: ByteSource,
  name: string,
  bytes: Uint8Array<ArrayBuffer>,
  size: number,
): Uint8Array<ArrayBuffer> {
  if (bytes.length === size) return bytes;
  throw new UserError(
    `${location} is truncated: tensor "${name}" needs ${size} bytes and only ${bytes.length} are left; get the file again`,
  );
}

/** Bytes in memory, in one piece or several. @param location for error messages */
export function bytesSource(location: string, ...pieces: readonly Uint8Array[]): ByteSource {
  const size = pieces.reduce((sum, { length }) => sum + length, 0);
  return {
    location,
    size,
    async read(start, end) {
      const bytes = new Uint8Array(Math.max(0, Math.min(end, size) - start));
      let begin = 0;
      for (const piece of pieces) {
        const part = piece.subarray(Math.max(0, start - begin), Math.max(0, end - begin));
        if (part.length > 0) bytes.set(part, Math.max(0, begin - start));
        begin += piece.length;
      }
      return bytes;
    },
  };
}

/** A `Blob` or `File`, such as one that a person chose in a page. @param location for error messages */
export function blobSource(location: string, blob: Blob): ByteSource {
  return {
    location,
    size: blob.size,
    read: async (start, end) => new Uint8Array(await blob.slice(start, end).arrayBuffer()),
  };
}
