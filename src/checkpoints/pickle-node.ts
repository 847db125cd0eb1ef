import { Readable } from "node:stream";
import type { ZipFile } from "yauzl";
import { UserError } from "../errors.ts";
import { type ByteSource, readTensor } from "../files/byte-source.ts";
import { elementsOf, float32 } from "../graph/tensor.ts";
import { decodeStored, ELEMENT_BYTES, type StoredType } from "./stored-values.ts";
import type { TensorInfo, TensorSource } from "./tensor-source.ts";
import { type Allowed, Global, unpickle } from "./unpickle.ts";

const STORAGE_TYPES: Readonly<Record<string, StoredType>> = {
  "torch.DoubleStorage": "F64",
  "torch.FloatStorage": "F32",
  "torch.HalfStorage": "F16",
  "torch.BFloat16Storage": "BF16",
  "torch.LongStorage": "I64",
  "torch.IntStorage": "I32",
  "torch.ByteStorage": "U8",
  "torch.BoolStorage": "BOOL",
};

/** Upper limit on the pickle's size in bytes; real models stay under one million. */
const MAX_PICKLE = 100_000_000;

/** Magic number of files by torch.save before PyTorch 1.6. */
const LEGACY_MAGIC = 0x1950a86a20f9469cfc6cn;

/** Elements that tensors view; tied weights share a storage. */
class Storage {
  constructor(
    readonly key: string,
    readonly dtype: StoredType,
    /** Number of elements. */
    readonly length: number,
  ) {}
}

/** Element i, j, … is `storage[offset + i·strides[0] + j·strides[1] + …]`. */
class StridedTensor implements TensorInfo {
  constructor(
    readonly storage: Storage,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {}

  get dtype(): StoredType {
    return this.storage.dtype;
  }
}

/** Position of a storage's bytes in the file. */
interface Range {
  start: number;
  bytes: number;
}

/**
 * Opens a state dictionary that `torch.save` wrote (`pytorch_model.bin`: a zip, or the format before PyTorch 1.6).
 * Reads the description of the tensors now, as data only: no code in the file runs. Reads values on request.
 * @throws UserError if the file is missing, damaged, claims more data than it has, or asks for anything but tensors.
 */
export async function openPickle(source: ByteSource): Promise<TensorSource> {
  const { location } = source;
  const isZip = (await textAt(source, 0, 4)) === "PK\x03\x04";
  const contents: Contents = isZip ? await readZip(source) : await readLegacy(source);
  const tensors = tensorsOf(location, contents.root, contents.ranges);
  return {
    location,
    tensors,
    async read(name) {
      const tensor = tensors.get(name);
      if (!tensor) throw new UserError(`${location} has no tensor "${name}"`);
      const width = ELEMENT_BYTES[tensor.dtype];
      const range = contents.ranges.get(tensor.storage.key);
      if (!range) throw new UserError(`${location} is damaged: the storage of tensor "${name}" is not in it`);
      const start = range.start + tensor.offset * width;
      const bytes = await readTensor(source, name, start, start + span(tensor) * width);
      return float32(tensor.shape, rowMajor(decodeStored(tensor.dtype, bytes.buffer), tensor));
    },
  };
}

/** The unpickled value, and the positions of its tensors' storages. */
interface Contents {
  root: unknown;
  ranges: ReadonlyMap<string, Range>;
}

async function textAt(source: ByteSource, start: number, length: number): Promise<string> {
  return new TextDecoder("latin1").decode(await source.read(start, start + length));
}

async function readZip(source: ByteSource): Promise<Contents> {
  const { location } = source;
  const entries = await zipEntries(source);
  const pickle = [...entries].find(([name]) => /^[^/]+\/data\.pkl$/.test(name));
  if (!pickle) throw new UserError(`${location} is a zip, but not one of torch.save: it holds no data.pkl`);
  const [name, range] = pickle;
  const folder = name.slice(0, -"data.pkl".length);

  const byteOrder = entries.get(`${folder}byteorder`);
  if (byteOrder && (await textAt(source, byteOrder.start, Math.min(byteOrder.bytes, 8))) !== "little") {
    throw new UserError(
      `${location} was saved on a big-endian machine, which is not supported; save it as safetensors`,
    );
  }
  if (range.bytes > MAX_PICKLE)
    throw new UserError(`${location}: data.pkl claims ${range.bytes} bytes, more than any model needs`);
  const { value: root } = unpickle(await source.read(range.start, range.start + range.bytes), location, tensorsOnly);

  const prefix = `${folder}data/`;
  const storages = [...entries].filter(([entry]) => entry.startsWith(prefix));
  return { root, ranges: new Map(storages.map(([entry, data]) => [entry.slice(prefix.length), data])) };
}

async function openZip(source: ByteSource): Promise<ZipFile> {
  // Imported here: an ES module that esbuild bundles cannot load this package, which few programs need.
  const { fromRandomAccessReaderPromise, RandomAccessReader } = await import("yauzl");
  class SourceReader extends RandomAccessReader {
    override _readStreamForRange(start: number, end: number): Readable {
      return Readable.from(chunks(source, start, end));
    }
  }
  return fromRandomAccessReaderPromise(new SourceReader(), source.size, { autoClose: false });
}

async function* chunks(source: ByteSource, start: number, end: number): AsyncIterable<Buffer> {
  yield Buffer.from((await source.read(start, end)).buffer);
}

/** Returns the position of each entry's bytes. torch.save compresses nothing, so compressed entries are refused. */
async function zipEntries(source: ByteSource): Promise<Map<string, Range>> {
  const { location } = source;
  const entries = new Map<string, Range>();
  let zip: ZipFile | undefined;
  try {
    zip = await openZip(source);
    for await (const entry of zip.eachEntry()) {
      const { fileName, compressionMethod, compressedSize, uncompressedSize } = entry;
      if (compressionMethod !== 0 || entry.isEncrypted()) {
        throw new UserError(
          `${location}: "${fileName}" is compressed or encrypted (${compressedSize} bytes that claim to be ${uncompressedSize}), which torch.save never does; refused`,
        );
      }
      const { fileDataStart: start } = await zip.readLocalFileHeaderPromise(entry, { minimal: true });
      entries.set(fileName, { start, bytes: uncompressedSize });
    }
  } catch (error) {
    if (error instanceof UserError) throw error;
    // Includes names that lead out of the folder, and entries that reach past the end of the file.
    throw new UserError(`${location} is damaged or was not written by torch.save: ${(error as Error).message}`);
  } finally {
    zip?.close();
  }
  return entries;
}

/** Reads pickles (magic number, version, machine, tensors, storage keys), then each storage, preceded by its length. */
async function readLegacy(source: ByteSource): Promise<Contents> {
  const { location, size } = source;
  const head = await source.read(0, Math.min(size, MAX_PICKLE));
  if (head[0] !== 0x80)
    throw new UserError(`${location} was not written by torch.save: it is neither a zip nor a pickle`);
  const values: unknown[] = [];
  let at = 0;
  // The persistent ids of the fourth pickle give the storages' lengths and types.
  const storages = new Map<string, Storage>();
  const allowed: Allowed = {
    ...tensorsOnly,
    persistent(id) {
      const storage = tensorsOnly.persistent(id) as Storage | undefined;
      if (storage) storages.set(storage.key, storage);
      return storage;
    },
  };
  while (values.length < 5) {
    const { value, end } = unpickle(head, location, allowed, at);
    values.push(value);
    at = end;
    if (values[0] !== LEGACY_MAGIC) throw new UserError(`${location} holds a pickle, but not one of torch.save`);
  }
  const [, , , root, keys] = values;
  const ranges = new Map<string, Range>();
  for (const key of Array.isArray(keys) ? keys : []) {
    if (!isName(key)) throw new UserError(`${location} is damaged: it names a storage in another way than by its key`);
    const storage = storages.get(String(key));
    if (!storage) throw new UserError(`${location} is damaged: it holds a storage "${key}" that no tensor names`);
    const bytes = storage.length * ELEMENT_BYTES[storage.dtype];
    if (at + 8 + bytes > size) {
      throw new UserError(
        `${location} is truncated: storage "${key}" needs ${bytes} bytes from byte ${at + 8} on, and the file has ${size}; get the file again`,
      );
    }
    ranges.set(storage.key, { start: at + 8, bytes });
    at += 8 + bytes;
  }
  return { root, ranges };
}

/** Whether a value is a name or a key. As text, nested tuples that share their parts could fill all memory. */
const isName = (value: unknown): value is string | number => typeof value === "string" || typeof value === "number";
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const areCounts = (value: unknown): value is number[] => Array.isArray(value) && value.every(isCount);

/** The functions that a pickled state dictionary calls. They return undefined if the arguments do not fit. */
const constructors: Readonly<Record<string, (args: readonly unknown[]) => unknown>> = {
  "collections.OrderedDict": (args) => (args.length === 0 ? new Map() : undefined),
  "torch._utils._rebuild_parameter": ([tensor]) => tensor,
  "torch._utils._rebuild_tensor_v2": ([storage, offset, shape, strides]) =>
    storage instanceof Storage && isCount(offset) && areCounts(shape) && areCounts(strides)
      ? new StridedTensor(storage, offset, shape, strides)
      : undefined,
};

const tensorsOnly: Allowed = {
  globals: new Set([...Object.keys(constructors), ...Object.keys(STORAGE_TYPES)]),
  call: (callable, args) => constructors[callable]?.(args),
  persistent(id) {
    const [kind, type, key, , length] = Array.isArray(id) ? id : [];
    const dtype = type instanceof Global ? STORAGE_TYPES[type.name] : undefined;
    const fits = kind === "storage" && dtype && isName(key) && isCount(length);
    return fits ? new Storage(String(key), dtype, length) : undefined;
  },
};

/** Returns the tensors of a state dictionary. Each is checked to lie within its storage, and that within the file. */
function tensorsOf(location: string, root: unknown, ranges: ReadonlyMap<string, Range>): Map<string, StridedTensor> {
  const tensors = new Map<string, StridedTensor>();
  for (const [name, tensor] of root instanceof Map ? root : []) {
    if (!(tensor instanceof StridedTensor)) continue;
    if (!isName(name)) throw new UserError(`${location} is damaged: a tensor's name is no text; get the file again`);
    const { storage, offset, shape, strides } = tensor;
    const available = ranges.get(storage.key)?.bytes ?? 0;
    const fits =
      storage.length * ELEMENT_BYTES[storage.dtype] <= available &&
      strides.length === shape.length &&
      offset + span(tensor) <= storage.length &&
      // A stride of 0 would let a few bytes claim to be a tensor of any size.
      elementsOf(shape) <= storage.length;
    if (!fits) {
      throw new UserError(
        `${location} is damaged: tensor "${name}" of shape [${shape}] claims more data than the file holds for it (${available} bytes)`,
      );
    }
    tensors.set(String(name), tensor);
  }
  if (tensors.size === 0)
    throw new UserError(`${location} holds no tensors; expected a state dictionary saved by torch.save`);
  return tensors;
}

/** Returns the number of elements from a tensor's first to its last, inclusive. */
function span({ shape, strides }: StridedTensor): number {
  if (shape.includes(0)) return 0;
  return shape.reduce((last, size, axis) => last + (size - 1) * strides[axis]!, 1);
}

/** Copies a tensor's values from its span of the storage to row-major order. */
function rowMajor(values: Float32Array, { shape, strides }: StridedTensor): Float32Array {
  const count = elementsOf(shape);
  const contiguous = shape.map((_, axis) => elementsOf(shape.slice(axis + 1)));
  if (shape.every((size, axis) => size === 1 || strides[axis] === contiguous[axis])) return values;
  const result = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    let from = 0;
    for (let axis = 0; axis < shape.length; axis++) {
      from += (Math.floor(i / contiguous[axis]!) % shape[axis]!) * strides[axis]!;
    }
    result[i] = values[from]!;
  }
  return result;
}
