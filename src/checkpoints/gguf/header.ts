import { UserError } from "../../errors.ts";
import type { ByteSource } from "../../files/byte-source.ts";
import { elementsOf } from "../../graph/tensor.ts";
import { GGML_TYPE_NAMES, GGML_TYPES, type GgmlType } from "./ggml-types.ts";

/** A metadata value. 64-bit integers are exact up to 2^53. */
export type GgufValue = number | boolean | string | NumberList | readonly (boolean | string)[];

/** A list of numbers; 64-bit integers become float64. */
export type NumberList =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array;

/** A tensor's position in the file. */
export interface GgufEntry {
  dtype: GgmlType;
  /** Outermost axis first; GGUF itself has the innermost first. */
  shape: readonly number[];
  begin: number;
  end: number;
}

export interface GgufHeader {
  metadata: ReadonlyMap<string, GgufValue>;
  tensors: ReadonlyMap<string, GgufEntry>;
}

/** First bytes of a GGUF file. */
export const GGUF_MAGIC = "GGUF";

/** Default alignment of tensors in bytes; `general.alignment` overrides it. */
export const DEFAULT_ALIGNMENT = 32;

/** Bytes to read at once; most headers have fewer. */
const CHUNK = 2 ** 22;
/** Upper limit on a header's size in bytes; the largest vocabularies take a tenth. */
const MAX_HEADER = 2 ** 27;
/** Upper limit on tensors, and on entries of metadata; the largest models have a hundredth. */
const MAX_ENTRIES = 2 ** 17;
/** Upper limit on the items of a list; the largest vocabularies have a sixteenth. */
const MAX_ITEMS = 2 ** 22;
/** Upper limit on axes of a tensor, as in ggml. */
const MAX_AXES = 4;

/**
 * Reads and checks the header of a GGUF file (versions 2 and 3, little-endian; ggml's docs/gguf.md) in one pass. Memory
 * is allocated for a claimed size only if the file is large enough for it.
 * @throws UserError if the file is not GGUF, truncated, damaged, or holds a tensor of a type that is not supported.
 */
export function readGgufHeader(source: ByteSource): Promise<GgufHeader> {
  return parseHeader(new Cursor(source));
}

const damaged = ({ location }: ByteSource, what: string): UserError =>
  new UserError(`${location} is damaged: ${what}; get the file again`);

/** Reads numbers and texts in sequence, and rejects sizes that reach beyond the end of the file. */
class Cursor {
  readonly source: ByteSource;
  /** The last chunk, which begins at byte `#start` of the file. */
  #view = new DataView(new ArrayBuffer(0));
  #start = 0;
  at = 0;

  constructor(source: ByteSource) {
    this.source = source;
  }

  /** Advances by `length` bytes. @returns a view of them */
  async take(length: number, what: string): Promise<DataView> {
    const start = this.at;
    const end = start + length;
    if (end > this.source.size) {
      throw new UserError(
        `${this.source.location} is truncated or damaged: ${what} needs ${length} bytes from byte ${start} on, and the file has ${this.source.size}; get the file again`,
      );
    }
    if (end > MAX_HEADER) throw damaged(this.source, `its header is longer than ${MAX_HEADER} bytes`);
    if (end > this.#start + this.#view.byteLength) {
      const bytes = await this.source.read(start, Math.max(end, Math.min(start + CHUNK, this.source.size)));
      if (bytes.length < length) throw damaged(this.source, "it shrank");
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      this.#start = start;
    }
    this.at = end;
    return new DataView(this.#view.buffer, this.#view.byteOffset + start - this.#start, length);
  }

  async uint32(what: string): Promise<number> {
    return (await this.take(4, what)).getUint32(0, true);
  }

  /** Reads an integer. One that is too large to be exact is larger than any file. */
  async uint64(what: string): Promise<number> {
    return Number((await this.take(8, what)).getBigUint64(0, true));
  }

  async text(what: string): Promise<string> {
    return decoder.decode(await this.take(await this.uint64(what), what));
  }

  /** Reads a count of items that take at least `least` bytes each, and of which no model has more than `most`. */
  async count(least: number, most: number, what: string): Promise<number> {
    const count = await this.uint64(what);
    if (count > most) throw damaged(this.source, `it claims ${count} ${what}, more than any model has`);
    const left = this.source.size - this.at;
    if (count * least > left) {
      throw new UserError(
        `${this.source.location} is truncated or damaged: it claims ${count} ${what}, but only ${left} bytes follow; get the file again`,
      );
    }
    return count;
  }

  async value(type: number, what: string): Promise<number | boolean | string> {
    if (type === TEXT) return this.text(what);
    if (type === BOOLEAN) return (await this.take(1, what)).getUint8(0) !== 0;
    const { width, read } = this.#numbers(type, what);
    return read(await this.take(width, what), 0);
  }

  async list(type: number, what: string): Promise<NumberList | readonly (boolean | string)[]> {
    if (type === TEXT || type === BOOLEAN) {
      const count = await this.count(type === TEXT ? 8 : 1, MAX_ITEMS, `items of ${what}`);
      const items: (boolean | string)[] = [];
      while (items.length < count) items.push((await this.value(type, what)) as boolean | string);
      return items;
    }
    const { width, read, List } = this.#numbers(type, what);
    const count = await this.count(width, MAX_ITEMS, `items of ${what}`);
    const view = await this.take(count * width, what);
    const numbers = new List(count);
    for (let i = 0; i < count; i++) numbers[i] = read(view, i * width);
    return numbers;
  }

  #numbers(type: number, what: string): NumberType {
    const known = NUMBERS[type];
    if (known) return known;
    throw damaged(this.source, `${what} has type ${type}, which GGUF does not define`);
  }
}

const decoder = new TextDecoder();

const [BOOLEAN, TEXT, LIST] = [7, 8, 9];

interface NumberType {
  width: number;
  read(view: DataView, at: number): number;
  List: new (length: number) => NumberList;
}

const NUMBERS: Readonly<Record<number, NumberType>> = {
  0: { width: 1, read: (view, at) => view.getUint8(at), List: Uint8Array },
  1: { width: 1, read: (view, at) => view.getInt8(at), List: Int8Array },
  2: { width: 2, read: (view, at) => view.getUint16(at, true), List: Uint16Array },
  3: { width: 2, read: (view, at) => view.getInt16(at, true), List: Int16Array },
  4: { width: 4, read: (view, at) => view.getUint32(at, true), List: Uint32Array },
  5: { width: 4, read: (view, at) => view.getInt32(at, true), List: Int32Array },
  6: { width: 4, read: (view, at) => view.getFloat32(at, true), List: Float32Array },
  10: { width: 8, read: (view, at) => Number(view.getBigUint64(at, true)), List: Float64Array },
  11: { width: 8, read: (view, at) => Number(view.getBigInt64(at, true)), List: Float64Array },
  12: { width: 8, read: (view, at) => view.getFloat64(at, true), List: Float64Array },
};

async function parseHeader(cursor: Cursor): Promise<GgufHeader> {
  const { source } = cursor;
  if (decoder.decode(await cursor.take(4, "the first word")) !== GGUF_MAGIC) {
    throw new UserError(`${source.location} is not a GGUF file: it does not begin with "${GGUF_MAGIC}"`);
  }
  const version = await cursor.uint32("the version");
  if (version !== 2 && version !== 3) {
    const why = version % 0x10000 === 0 ? "it is big-endian" : `it is of version ${version}`;
    throw new UserError(
      `${source.location} is not supported: ${why}; convert the model to little-endian GGUF of version 2 or 3`,
    );
  }
  // A tensor has at least its name's length, number of axes, type and offset; an entry a length, a type and a byte.
  const tensorCount = await cursor.count(24, MAX_ENTRIES, "tensors");
  const entryCount = await cursor.count(13, MAX_ENTRIES, "entries of metadata");

  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < entryCount; i++) {
    const key = await cursor.text("a metadata key");
    if (metadata.has(key)) throw damaged(source, `it has "${shortened(key)}" twice`);
    metadata.set(key, await readValue(cursor, `"${shortened(key)}"`));
  }
  const alignment = metadata.get("general.alignment") ?? DEFAULT_ALIGNMENT;
  if (typeof alignment !== "number" || !(alignment >= 8 && alignment <= 2 ** 16) || alignment % 8 !== 0) {
    throw damaged(source, `"general.alignment" is ${shortened(String(alignment))}, which is not a multiple of 8`);
  }
  const tensors = new Map<string, GgufEntry>();
  for (let i = 0; i < tensorCount; i++) {
    const name = await cursor.text("a tensor's name");
    if (tensors.has(name)) throw damaged(source, `it has tensor "${shortened(name)}" twice`);
    tensors.set(name, await readEntry(cursor, name));
  }
  return {
    metadata,
    tensors: resolvePositions(source, tensors, Math.ceil(cursor.at / alignment) * alignment, alignment),
  };
}

async function readValue(cursor: Cursor, what: string): Promise<GgufValue> {
  const type = await cursor.uint32(what);
  if (type !== LIST) return cursor.value(type, what);
  const itemType = await cursor.uint32(what);
  if (itemType === LIST) throw damaged(cursor.source, `${what} is a list of lists, which no model has`);
  return cursor.list(itemType, what);
}

/** Reads a tensor's entry; its position is still relative to the data. */
async function readEntry(cursor: Cursor, name: string): Promise<GgufEntry> {
  const { source } = cursor;
  const what = `tensor "${shortened(name)}"`;
  const axes = await cursor.uint32(what);
  if (axes > MAX_AXES) throw damaged(source, `${what} has ${axes} axes, more than the limit of ${MAX_AXES}`);
  const shape: number[] = [];
  for (let axis = 0; axis < axes; axis++) shape.unshift(await cursor.uint64(what));
  const number = await cursor.uint32(what);
  const dtype = GGML_TYPE_NAMES[number];
  if (dtype === undefined || !isSupported(dtype)) {
    throw new UserError(
      `${source.location}: ${what} has type ${dtype ?? number}, which is not supported (supported: ${Object.keys(GGML_TYPES).join(", ")}); use the model in another quantisation, such as Q4_K_M or Q8_0`,
    );
  }
  const { values, bytes } = GGML_TYPES[dtype];
  const row = shape.at(-1) ?? 1;
  if (row % values !== 0) {
    throw damaged(source, `${what} of type ${dtype} has rows of ${row} numbers, which is not a multiple of ${values}`);
  }
  const begin = await cursor.uint64(what);
  return { dtype, shape, begin, end: begin + (elementsOf(shape) / values) * bytes };
}

const isSupported = (name: string): name is GgmlType => Object.hasOwn(GGML_TYPES, name);

/** Converts tensors' positions to positions in the file. Each must lie inside the file, aligned, without overlaps. */
function resolvePositions(
  source: ByteSource,
  tensors: ReadonlyMap<string, GgufEntry>,
  dataStart: number,
  alignment: number,
): Map<string, GgufEntry> {
  let free = 0;
  for (const [name, { begin, end }] of [...tensors].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end)) {
    const what = `tensor "${shortened(name)}"`;
    // The negation also rejects NaN and infinite sizes.
    if (!(dataStart + end <= source.size)) {
      throw new UserError(
        `${source.location} is truncated: ${what} ends at byte ${dataStart + end}, and the file has ${source.size}; get the file again`,
      );
    }
    if (begin < free)
      throw damaged(source, `${what} begins at byte ${begin} of the data, before the previous tensor ends`);
    if (begin % alignment !== 0)
      throw damaged(source, `${what} begins at byte ${begin} of the data, which is not aligned`);
    free = end;
  }
  return new Map(
    [...tensors].map(([name, { begin, end, ...entry }]) => [
      name,
      { ...entry, begin: dataStart + begin, end: dataStart + end },
    ]),
  );
}

const shortened = (text: string): string => (text.length > 60 ? `${text.slice(0, 60)}…` : text);
