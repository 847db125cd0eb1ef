import { z } from "zod";
import { UserError } from "../errors.ts";
import { type ByteSource, readTensor } from "../files/byte-source.ts";
import { joinedBytes } from "../graph/joined-bytes.ts";
import { asFloat32, elementsOf, float32, type Tensor } from "../graph/tensor.ts";
import { decodeStored, ELEMENT_BYTES, encodeHalf, type StoredType } from "./stored-values.ts";
import type { TensorInfo, TensorSource } from "./tensor-source.ts";

/** A tensor to write; numbers in float32 or half precision. */
export type TensorToWrite = Tensor<"float32" | "int32" | "uint8"> & { readonly storedAs?: "F16" };

const STORED = { float32: "F32", int32: "I32", uint8: "U8" } as const;

/** Upper limit on the header's size in bytes, as the format defines it. */
const MAX_HEADER = 100_000_000;

const natural = z.int().nonnegative();
const entrySchema = z.object({
  dtype: z.string(),
  shape: z.array(natural),
  data_offsets: z.tuple([natural, natural]),
});

/** A tensor's position in the data, which begins after the header. */
interface Entry extends TensorInfo {
  dtype: StoredType;
  begin: number;
  end: number;
}

interface Header {
  entries: Map<string, Entry>;
  metadata: Record<string, string>;
}

/**
 * Opens a safetensors file. The header is read and checked now, each tensor when it is requested.
 * @throws UserError if the file is truncated or not a safetensors file.
 */
export async function openSafetensors(source: ByteSource): Promise<TensorSource> {
  const { location } = source;
  const { entries, metadata, dataStart } = await readHeader(source);
  return {
    location,
    metadata,
    tensors: entries,
    async read(name) {
      const entry = entries.get(name);
      if (!entry) throw new UserError(`${location} has no tensor "${name}"`);
      const bytes = await readTensor(source, name, dataStart + entry.begin, dataStart + entry.end);
      return float32(entry.shape, decodeStored(entry.dtype, bytes.buffer));
    },
  };
}

/** Serialises tensors as a safetensors file. @param metadata texts to store in the header */
export function safetensorsBytes(
  tensors: ReadonlyMap<string, TensorToWrite>,
  metadata?: Readonly<Record<string, string>>,
): Uint8Array<ArrayBuffer> {
  const { size, pieces } = layOut(tensors, metadata);
  return joinedBytes(pieces(), size);
}

/**
 * Lays out tensors as a safetensors file.
 * @returns the file's size, and its bytes as a sequence of arrays, each created on demand.
 * @throws Error if a tensor's data do not fit its shape.
 */
export function layOut(
  tensors: ReadonlyMap<string, TensorToWrite>,
  metadata?: Readonly<Record<string, string>>,
): { size: number; pieces(): Iterable<Uint8Array> } {
  const stored = [...tensors].map(([name, tensor]) => {
    return { name, tensor, dtype: tensor.storedAs ?? STORED[tensor.dtype] };
  });
  // Wider types first, so that every tensor is aligned to its element's size.
  stored.sort((a, b) => ELEMENT_BYTES[b.dtype] - ELEMENT_BYTES[a.dtype]);
  const header: Record<string, unknown> = metadata ? { __metadata__: metadata } : {};
  let end = 0;
  for (const { name, dtype, tensor } of stored) {
    const { shape, data } = tensor;
    if (elementsOf(shape) !== data.length) {
      throw new Error(`tensor "${name}" has ${data.length} values, but its shape is [${shape}]`);
    }
    const begin = end;
    end += data.length * ELEMENT_BYTES[dtype];
    header[name] = { dtype, shape, data_offsets: [begin, end] };
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  // Spaces pad the header to a multiple of 8 bytes, so that the data are aligned.
  const padded = new Uint8Array(8 + Math.ceil(text.length / 8) * 8).fill(0x20);
  new DataView(padded.buffer).setBigUint64(0, BigInt(padded.length - 8), true);
  padded.set(text, 8);
  return {
    size: padded.length + end,
    *pieces() {
      yield padded;
      for (const { dtype, tensor } of stored) {
        const data = dtype === "F16" ? encodeHalf(asFloat32(tensor).data) : tensor.data;
        yield new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      }
    },
  };
}

async function readHeader(source: ByteSource): Promise<Header & { dataStart: number }> {
  const { location, size } = source;
  const dataStart = dataStartOf(location, await source.read(0, Math.min(8, size)), size);
  return { ...parseHeader(location, await source.read(8, dataStart), size - dataStart), dataStart };
}

/**
 * Reads the header of a safetensors file in memory.
 * @returns its texts, and each tensor's type and shape with a view of its bytes
 * @throws UserError if the file is truncated or not a safetensors file.
 */
export function storedTensors(location: string, file: Uint8Array) {
  const dataStart = dataStartOf(location, file.subarray(0, 8), file.length);
  const { entries, metadata } = parseHeader(location, file.subarray(8, dataStart), file.length - dataStart);
  const tensors = [...entries].map(([name, { dtype, shape, begin, end }]) => {
    return { name, dtype, shape, bytes: file.subarray(dataStart + begin, dataStart + end) };
  });
  return { metadata, tensors };
}

/** Where the data begin, which follow the header. @param length first 8 bytes of the file: the header's length, little-endian */
function dataStartOf(location: string, length: Uint8Array, size: number): number {
  if (size < 8) throw new UserError(`${location} is not a safetensors file: it has only ${size} bytes`);
  // A number that is too large to be exact is far too large for a header.
  const headerLength = length.reduceRight((sum, byte) => sum * 256 + byte, 0);
  if (headerLength <= Math.min(size - 8, MAX_HEADER)) return 8 + headerLength;
  throw new UserError(
    `${location} is truncated or not a safetensors file: its header claims ${headerLength} bytes, and the file has ${size}`,
  );
}

/** Parses the header, and checks the tensors against each other and the length of the data. */
function parseHeader(location: string, header: Uint8Array, dataLength: number): Header {
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(header));
  } catch {
    throw new UserError(`${location} is not a safetensors file: its header is not JSON`);
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw new UserError(`${location} is not a safetensors file: its header is not a JSON object`);
  }
  const entries = new Map<string, Entry>();
  for (const [name, value] of Object.entries(parsed)) {
    if (name !== "__metadata__") entries.set(name, parseEntry(location, name, value));
  }
  // The format leaves no gap between tensors and none after the last.
  let expected = 0;
  for (const [name, { begin, end }] of [...entries].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end)) {
    if (end > dataLength) {
      throw new UserError(
        `${location} is truncated: tensor "${name}" ends at byte ${end} of the data, but there are only ${dataLength} bytes; get the file again`,
      );
    }
    if (begin !== expected) {
      throw new UserError(
        `${location} is damaged: tensor "${name}" begins at byte ${begin} of the data, expected ${expected}, where the tensor before it ends`,
      );
    }
    expected = end;
  }
  if (expected !== dataLength) {
    throw new UserError(`${location} is damaged: its tensors take ${expected} bytes, but the file holds ${dataLength}`);
  }
  const texts = z.record(z.string(), z.string()).safeParse((parsed as Record<string, unknown>).__metadata__);
  return { entries, metadata: texts.data ?? {} };
}

function parseEntry(location: string, name: string, value: unknown): Entry {
  const result = entrySchema.safeParse(value);
  if (!result.success) {
    throw new UserError(
      `${location} is damaged: the header's entry for tensor "${name}" has no valid dtype, shape and data_offsets`,
    );
  }
  const { dtype, shape, data_offsets } = result.data;
  if (!isStoredType(dtype)) {
    throw new UserError(
      `${location}: tensor "${name}" has type ${dtype}, which is not supported; expected one of ${Object.keys(ELEMENT_BYTES).join(", ")}`,
    );
  }
  const [begin, end] = data_offsets;
  const bytes = elementsOf(shape) * ELEMENT_BYTES[dtype];
  if (end - begin !== bytes) {
    throw new UserError(
      `${location} is damaged: tensor "${name}" of type ${dtype} and shape [${shape}] needs ${bytes} bytes, but the header gives it ${end - begin}`,
    );
  }
  return { dtype, shape, begin, end };
}

function isStoredType(dtype: string): dtype is StoredType {
  return Object.hasOwn(ELEMENT_BYTES, dtype);
}
