import { UserError } from "../errors.ts";
import { boundedFetch, deadlineFor, SILENCE } from "./bounded-fetch.ts";
import { type ByteSource, bytesSource } from "./byte-source.ts";

/** Bytes of the first request. Small files and most headers need no second one. */
const FIRST_BYTES = 2 ** 16;

/** Chunk size of a file that is fetched whole, in bytes. */
const CHUNK = 2 ** 20;

/** Statuses of a missing file. */
const MISSING = [404, 410];

/**
 * Creates a source over a file on a web server. Ranges are fetched as they are read. If the server does not support
 * ranges, the whole file is fetched at once and kept in memory.
 * @param maxSize upper limit on the file's size in bytes (default: 8 GiB)
 * @returns undefined if the server says that there is no such file.
 * @throws UserError if it cannot be fetched or is too large.
 */
export async function urlSource(url: string, maxSize = 2 ** 33): Promise<ByteSource | undefined> {
  const response = await request(url, maxSize, 0, FIRST_BYTES);
  if (MISSING.includes(response.status)) {
    await response.body?.cancel();
    return undefined;
  }
  const size = totalSize(response);
  if (size === undefined) {
    // Empty files have no ranges either, and a cross-origin page may not be allowed to read Content-Range.
    const whole = response.status === 200 ? response : await requestWhole(url, maxSize, response);
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

/** Requests the bytes `[start, end)`, or the whole file. Uncompressed, because compression would change ranges. */
async function request(url: string, maxBytes: number, start?: number, end?: number): Promise<Response> {
  const range = start === undefined ? undefined : { Range: `bytes=${start}-${end! - 1}` };
  let response: Response;
  try {
    // One byte of tolerance: a longer response is reported below.
    const bounds = { silence: SILENCE, deadline: deadlineFor(maxBytes), maxBytes: maxBytes + 1 };
    response = await boundedFetch(url, { headers: { "Accept-Encoding": "identity", ...range } }, bounds);
  } catch (error) {
    throw unreachable(url, error);
  }
  if (response.ok || response.status === 416 || MISSING.includes(response.status)) return response;
  await response.body?.cancel();
  throw new UserError(
    `cannot fetch ${url}: the server answers ${response.status} ${response.statusText}; check the address`,
    { code: "network" },
  );
}

async function requestWhole(url: string, maxSize: number, refused: Response): Promise<Response> {
  await refused.body?.cancel();
  const response = await request(url, maxSize);
  if (response.status === 200) return response;
  await response.body?.cancel();
  throw new UserError(`cannot fetch ${url}: the server answers ${response.status} when asked for the whole file`);
}

/** Returns the size of the file of which a response is a range, or undefined if it is no range or does not say. */
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

/** Reads a body in chunks of one size, so that it is in memory once; network chunks may be one byte each. */
async function readBody(url: string, response: Response, maxSize: number): Promise<Uint8Array[]> {
  const pieces: Uint8Array[] = [];
  let [piece, filled] = [new Uint8Array(CHUNK), 0];
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
      const part = value.subarray(taken, taken + CHUNK - filled);
      piece.set(part, filled);
      taken += part.length;
      filled += part.length;
      if (filled < CHUNK) continue;
      pieces.push(piece);
      [piece, filled] = [new Uint8Array(CHUNK), 0];
    }
  }
  return [...pieces, piece.subarray(0, filled)];
}

function unreachable(url: string, error: unknown): UserError {
  // Node's message is just "fetch failed"; the cause has the reason.
  const { message, cause } = error as Error;
  return new UserError(
    `cannot fetch ${url}: ${cause instanceof Error ? cause.message : message}; check the address and the connection`,
    { code: "network" },
  );
}
