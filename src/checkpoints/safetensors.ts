import { type FileHandle, open } from "node:fs/promises";
import { z } from "zod";
import { UserError } from "../errors.ts";
import { writeAtomically } from "./atomic-file-node.ts";
import { readRange } from "./read-range.ts";
import { decodeStored, ELEMENT_BYTES, encodeHalf } from "./stored-values.ts";
import type { StoredType, TensorInfo, TensorSource } from "./tensor-source.ts";

/** A tensor to write: float32 values, stored as they are or as half precision. */
export interface TensorToWrite {
  dtype: "F32" | "F16";
  shape: readonly number[];
  data: Float32Array;
}

/** Largest header that the format allows, bytes. */
const MAX_HEADER = 100_000_000;

const natural = z.int().nonnegative();
const entrySchema = z.object({
  dtype: z.string(),
  shape: z.array(natural),
  data_offsets: z.tuple([natural, natural]),
});

/** A tensor's place in the data, which begins after the header. */
interface Entry extends TensorInfo {
  begin: number;
  end: number;
}

interface Header {
  entries: Map<string, Entry>;
  metadata: Record<string, string>;
}

/**
 * Opens a safetensors file: its header is read and checked now, each tensor when asked for. The file is open only
 * during a read, so there is nothing to close.
 * @throws UserError where the file is missing, truncated or no safetensors file.
 */
export async function openSafetensors(path: string): Promise<TensorSource> {
  const { entries, metadata, dataStart } = await readHeader(path);
  return {
    location: path,
    metadata,
    tensors: entries,
    read(name) {
      const entry = entries.get(name);
      if (!entry) throw new UserError(`${path} has no tensor "${name}"`);
      const buffer = new ArrayBuffer(entry.end - entry.begin);
      readRange(path, name, buffer, dataStart + entry.begin);
      return decodeStored(entry.dtype, buffer);
    },
  };
}

/**
 * Writes tensors as a safetensors file, whole or not at all (see `writeAtomically`).
 * @param metadata text to keep in the header.
 * @throws UserError where the file cannot be written; Error where a tensor's data do not fit its shape.
 */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, TensorToWrite>,
  metadata?: Record<string, string>,
): Promise<void> {
  // Wider types first, so that every tensor starts at a multiple of its element's size.
  const ordered = [...tensors].sort(([, a], [, b]) => ELEMENT_BYTES[b.dtype] - ELEMENT_BYTES[a.dtype]);
  const header: Record<string, unknown> = metadata ? { __metadata__: metadata } : {};
  let end = 0;
  for (const [name, { dtype, shape, data }] of ordered) {
    if (countElements(shape) !== data.length) {
      throw new Error(`tensor "${name}" has ${data.length} values, but its shape is [${shape}]`);
    }
    const begin = end;
    end += data.length * ELEMENT_BYTES[dtype];
    header[name] = { dtype, shape, data_offsets: [begin, end] };
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  // Spaces fill the header to a multiple of 8 bytes, so that the data are aligned.
  const padded = new Uint8Array(8 + Math.ceil(text.length / 8) * 8).fill(0x20);
  new DataView(padded.buffer).setBigUint64(0, BigInt(padded.length - 8), true);
  padded.set(text, 8);
  await writeAtomically(path, async (file) => {
    await writeFully(file, padded);
    for (const [, { dtype, data }] of ordered) {
      const stored = dtype === "F16" ? encodeHalf(data) : data;
      await writeFully(file, new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength));
    }
  });
}

async function readHeader(path: string): Promise<Header & { dataStart: number }> {
  let file: FileHandle;
  try {
    file = await open(path);
  } catch (error) {
    throw new UserError(`cannot read ${path}: ${(error as Error).message}`);
  }
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw new UserError(`${path} is not a file; expected a safetensors file`);
    const length = new DataView(new ArrayBuffer(8));
    if (stat.size < 8) throw new UserError(`${path} is no safetensors file: it has only ${stat.size} bytes`);
    await file.read(length, 0, 8, 0);
    const headerLength = Number(length.getBigUint64(0, true));
    if (headerLength > Math.min(stat.size - 8, MAX_HEADER)) {
      throw new UserError(
        `${path} is truncated or no safetensors file: its header claims ${headerLength} bytes, and the file has ${stat.size}`,
      );
    }
    const header = new Uint8Array(headerLength);
    await file.read(header, 0, headerLength, 8);
    const dataStart = 8 + headerLength;
    return { ...parseHeader(path, header, stat.size - dataStart), dataStart };
  } finally {
    await file.close();
  }
}

/** The header's tensors, checked against each other and against the length of the data. */
function parseHeader(path: string, header: Uint8Array, dataLength: number): Header {
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(header));
  } catch {
    throw new UserError(`${path} is no safetensors file: its header is not JSON`);
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw new UserError(`${path} is no safetensors file: its header is not a JSON object`);
  }
  const entries = new Map<string, Entry>();
  for (const [name, value] of Object.entries(parsed)) {
    if (name !== "__metadata__") entries.set(name, parseEntry(path, name, value));
  }
  // The format leaves no gap between tensors and none after the last.
  let expected = 0;
  for (const [name, { begin, end }] of [...entries].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end)) {
    if (end > dataLength) {
      throw new UserError(
        `${path} is truncated: tensor "${name}" ends at byte ${end} of the data, but there are only ${dataLength} bytes; get the file again`,
      );
    }
    if (begin !== expected) {
      throw new UserError(
        `${path} is damaged: tensor "${name}" begins at byte ${begin} of the data, expected ${expected}, where the tensor before it ends`,
      );
    }
    expected = end;
  }
  if (expected !== dataLength) {
    throw new UserError(`${path} is damaged: its tensors take ${expected} bytes, but the file holds ${dataLength}`);
  }
  const texts = z.record(z.string(), z.string()).safeParse((parsed as Record<string, unknown>).__metadata__);
  return { entries, metadata: texts.data ?? {} };
}

function parseEntry(path: string, name: string, value: unknown): Entry {
  const result = entrySchema.safeParse(value);
  if (!result.success) {
    throw new UserError(
      `${path} is damaged: the header's entry for tensor "${name}" has no valid dtype, shape and data_offsets`,
    );
  }
  const { dtype, shape, data_offsets } = result.data;
  if (!isStoredType(dtype)) {
    throw new UserError(
      `${path}: tensor "${name}" has type ${dtype}, which is not supported; expected one of ${Object.keys(ELEMENT_BYTES).join(", ")}`,
    );
  }
  const [begin, end] = data_offsets;
  const bytes = countElements(shape) * ELEMENT_BYTES[dtype];
  if (end - begin !== bytes) {
    throw new UserError(
      `${path} is damaged: tensor "${name}" of type ${dtype} and shape [${shape}] needs ${bytes} bytes, but the header gives it ${end - begin}`,
    );
  }
  return { dtype, shape, begin, end };
}

function isStoredType(dtype: string): dtype is StoredType {
  return Object.hasOwn(ELEMENT_BYTES, dtype);
}

function countElements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Appends all of `bytes`; one system call writes at most 2 GiB. */
async function writeFully(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await file.write(bytes, done, Math.min(bytes.length - done, 2 ** 30))).bytesWritten;
  }
}
