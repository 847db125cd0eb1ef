import { UserError } from "../errors.ts";
import { boundedFetch, deadlineFor, SILENCE } from "./bounded-fetch.ts";
import { type ByteSource, bytesSource } from "./byte-source.ts";

/** Bytes that the first request asks for: small files, and the headers of most large ones, need no second. */
const FIRST_BYTES = 2 ** 16;

/** Bytes of a piece of a file that is fetched whole. */
const PIECE = 2 ** 20;

/** What servers answer where there is no such file. */
const NOT_THERE = [404, 410];

/**
 * A file on a web server. Ranges are fetched as they are read; of a server that does not give ranges the whole file is
 * fetched now and kept while the source is.
 * @param maxSize most bytes that the file may have, 8 GiB unless given: nobody knows what a URL holds
 * @returns undefined where the server says that there is no such file.
 * @throws UserError where it cannot be fetched or is too large.
 */
export async function urlSource(url: string, maxSize = 2 ** 33): Promise<ByteSource | undefined> {
  const response = await request(url, maxSize, 0, FIRST_BYTES);
  if (NOT_THERE.includes(response.status)) {
    await response.body?.cancel();
    return undefined;
  }
  const size = totalSize(response);
  if (size === undefined) {
    // Also of an empty file, of which no range can be given, and where the server may not be asked for the size.
    const whole = response.status === 200 ? response : await again(url, maxSize, response);
    return bytesSource(url, ...(await readBody(url, whole, maxSize)));
  }
  if (size > maxSize) {
    await response.body?.cancel();
    throw new UserError(`${url} has ${size} bytes, more than the ${maxSize} that are allowed; give another file`);
  }
  const version = response.headers.get("ETag");
  const first = await bytesOf(url, response, 0, Math.min(FIRST_BYTES, size));
  return {
    location: url,
    size,
    async read(start, asked) {
      const end = Math.min(asked, size);
      if (end <= first.length) return first.slice(start, Math.max(start, end));
      if (start >= end) return new Uint8Array();
      const range = await request(url, end - start, start, end);
      if (range.status !== 206 || range.headers.get("ETag") !== version) {
        await range.body?.cancel();
        throw new UserError(`${url} changed while it was read, or is no longer there; load it again`);
      }
      return bytesOf(url, range, start, end);
    },
  };
}

/** Asks for bytes `[start, end)`, or the whole. Compressed answers would have ranges and sizes of their own. */
async function request(url: string, maxBytes: number, start?: number, end?: number): Promise<Response> {
  const range = start === undefined ? undefined : { Range: `bytes=${start}-${end! - 1}` };
  let response: Response;
  try {
    // A byte more than there should be says so.
    const bounds = { silence: SILENCE, deadline: deadlineFor(maxBytes), maxBytes: maxBytes + 1 };
    response = await boundedFetch(url, { headers: { "Accept-Encoding": "identity", ...range } }, bounds);
  } catch (error) {
    throw unreachable(url, error);
  }
  if (response.ok || response.status === 416 || NOT_THERE.includes(response.status)) return response;
  await response.body?.cancel();
  throw new UserError(
    `cannot fetch ${url}: the server answers ${response.status} ${response.statusText}; check the address`,
  );
}

async function again(url: string, maxSize: number, refused: Response): Promise<Response> {
  await refused.body?.cancel();
  const response = await request(url, maxSize);
  if (response.status === 200) return response;
  await response.body?.cancel();
  throw new UserError(`cannot fetch ${url}: the server answers ${response.status} when asked for the whole file`);
}

/** Size of the file that an answer is a range of; undefined where it is not a range, or does not say of what. */
function totalSize({ status, headers }: Response): number | undefined {
  const [, total] = /^bytes 0-\d+\/(\d+)$/.exec(headers.get("Content-Range") ?? "") ?? [];
  return status === 206 && total !== undefined && !headers.has("Content-Encoding") ? Number(total) : undefined;
}

async function bytesOf(url: string, response: Response, start: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = new Uint8Array(await response.arrayBuffer());
  } catch (error) {
    throw unreachable(url, error);
  }
  if (bytes.length === end - start) return bytes;
  throw new UserError(`${url}: asked for bytes ${start} to ${end}, the server gave ${bytes.length}; load it again`);
}

/** A body in pieces of one size, so that it is in memory once; those in which it came may be a byte each. */
async function readBody(url: string, response: Response, maxSize: number): Promise<Uint8Array[]> {
  const pieces: Uint8Array[] = [];
  let [piece, filled] = [new Uint8Array(PIECE), 0];
  const reader = response.body?.getReader();
  const claimed = Number(response.headers.get("Content-Length") ?? 0);
  for (let size = 0; reader; ) {
    if (Math.max(size, claimed) > maxSize) {
      await reader.cancel();
      throw new UserError(`${url} has more than the ${maxSize} bytes that are allowed; give another file`);
    }
    const { done, value } = await reader.read().catch((error: unknown) => {
      throw unreachable(url, error);
    });
    if (done) break;
    size += value.length;
    for (let taken = 0; taken < value.length; ) {
      const part = value.subarray(taken, taken + PIECE - filled);
      piece.set(part, filled);
      taken += part.length;
      filled += part.length;
      if (filled < PIECE) continue;
      pieces.push(piece);
      [piece, filled] = [new Uint8Array(PIECE), 0];
    }
  }
  return [...pieces, piece.subarray(0, filled)];
}

function unreachable(url: string, error: unknown): UserError {
  // Node says only "fetch failed", and why in the cause.
  const { message, cause } = error as Error;
  return new UserError(
    `cannot fetch ${url}: ${cause instanceof Error ? cause.message : message}; check the address and the connection`,
  );
}
