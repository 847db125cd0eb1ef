import { UserError } from "../errors.ts";

/** A source of bytes that are read by range: a file, a URL, a `Blob` or bytes in memory. */
export interface ByteSource {
  /** Path, URL or name, for error messages. */
  readonly location: string;
  /** Number of bytes. */
  readonly size: number;
  /**
   * Reads the bytes `[start, end)`, fewer if the source ends earlier. The caller owns the array, which begins at offset
   * 0 of its buffer, so that typed arrays can view it without a copy.
   * @throws UserError if the source cannot be read, or not any more.
   */
  read(start: number, end: number): Promise<Uint8Array<ArrayBuffer>>;
  /** Synchronous {@link read}; undefined if the source is asynchronous only. */
  readNow?(start: number, end: number): Uint8Array<ArrayBuffer>;
}

/** Reads a whole source. */
export function readAll(source: ByteSource): Promise<Uint8Array<ArrayBuffer>> {
  return source.read(0, source.size);
}

/** Reads a whole source as UTF-8 text. Keeps a byte order mark. */
export async function readText(source: ByteSource): Promise<string> {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(await readAll(source));
}

/**
 * Reads the bytes `[start, end)` of a checkpoint that hold a tensor.
 * @param name the tensor's, for error messages.
 * @throws UserError if they cannot be read or the source ends too early.
 */
export async function readTensor(
  source: ByteSource,
  name: string,
  start: number,
  end: number,
): Promise<Uint8Array<ArrayBuffer>> {
  return checkLength(source, name, await source.read(start, end), end - start);
}

/** Synchronous {@link readTensor}, for a source that supports it. */
export const readTensorNow = (
  source: ByteSource & Required<Pick<ByteSource, "readNow">>,
  name: string,
  start: number,
  end: number,
): Uint8Array<ArrayBuffer> => checkLength(source, name, source.readNow(start, end), end - start);

function checkLength(
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

/** Creates a source over bytes in memory. @param location for error messages */
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

/**
 * Creates a source over a `Blob` or `File`, such as one chosen in a page.
 * @param location for error messages
 * @example
 * ```ts
 * const model = await ggufFiles(blobSource(file.name, file));
 * ```
 */
export function blobSource(location: string, blob: Blob): ByteSource {
  return {
    location,
    size: blob.size,
    read: async (start, end) => new Uint8Array(await blob.slice(start, end).arrayBuffer()),
  };
}
