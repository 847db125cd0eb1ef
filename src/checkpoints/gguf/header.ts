import { UserError } from "../../errors.ts";
import { sizeOf } from "../../graph/tensor.ts";
import type { ByteSource } from "../byte-source.ts";
import { GGML_TYPE_NAMES, GGML_TYPES, type GgmlType } from "./ggml-types.ts";

/** A value of the metadata; whole numbers of 64 bits are exact to 2^53. */
export type GgufValue = number | boolean | string | readonly (number | boolean | string)[];

/** A tensor's place in the file. */
export interface GgufEntry {
  dtype: GgmlType;
  /** Outermost first, as everywhere but in GGUF itself. */
  shape: readonly number[];
  /** Bytes from the file's beginning. */
  begin: number;
  end: number;
}

export interface GgufHeader {
  metadata: ReadonlyMap<string, GgufValue>;
  tensors: ReadonlyMap<string, GgufEntry>;
}

/** What a file of GGUF begins with. */
export const GGUF_MAGIC = "GGUF";

/** Where tensors begin, unless `general.alignment` says otherwise: multiples of this many bytes. */
export const DEFAULT_ALIGNMENT = 32;

/** Bytes that are read at first; the headers of most models have fewer. */
const FIRST_BYTES = 2 ** 22;
/** Most bytes of a header: the largest vocabularies take a tenth. */
const MAX_HEADER = 2 ** 27;
/** Most tensors, and most entries of metadata: the largest models have a hundredth. */
const MAX_ENTRIES = 2 ** 17;
/** Most entries of a list: the largest vocabularies have a sixteenth. */
const MAX_ITEMS = 2 ** 22;
/** Most axes of a tensor, as in ggml. */
const MAX_AXES = 4;

/** The header is longer than what was read of it. */
class NotReadYet extends Error {}

/**
 * Reads and checks the header of a GGUF file (versions 2 and 3, little-endian; ggml's docs/gguf.md). Nothing that it
 * claims takes memory before the file is known to be large enough for it.
 * @throws UserError where the file is none, truncated, damaged, or holds a tensor of a type that is not supported.
 */
export async function readGgufHeader(source: ByteSource): Promise<GgufHeader> {
  let bytes = await source.read(0, Math.min(source.size, FIRST_BYTES));
  for (;;) {
    try {
      return parseHeader(new Cursor(source, bytes));
    } catch (error) {
      if (!(error instanceof NotReadYet)) throw error;
    }
    const more = await source.read(bytes.length, Math.min(source.size, 2 * bytes.length, MAX_HEADER));
    if (more.length === 0) {
      throw damaged(
        source,
        bytes.length === MAX_HEADER ? `its header is longer than ${MAX_HEADER} bytes` : "it shrank",
      );
    }
    const both = new Uint8Array(bytes.length + more.length);
    both.set(bytes);
    both.set(more, bytes.length);
    bytes = both;
  }
}

const damaged = ({ location }: ByteSource, what: string): UserError =>
  new UserError(`${location} is damaged: ${what}; get the file again`);

/** Reads numbers and texts one after the other, and refuses what reaches beyond the end of the file. */
class Cursor {
  readonly source: ByteSource;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  at = 0;

  constructor(source: ByteSource, bytes: Uint8Array<ArrayBuffer>) {
    this.source = source;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }

  /** Goes on by `length` bytes. @returns where they begin */
  take(length: number, what: string): number {
    const start = this.at;
    if (start + length > this.source.size) {
      throw new UserError(
        `${this.source.location} is truncated or damaged: ${what} needs ${length} bytes from byte ${start} on, and the file has ${this.source.size}; get the file again`,
      );
    }
    if (start + length > this.#bytes.length) throw new NotReadYet();
    this.at += length;
    return start;
  }

  uint32(what: string): number {
    return this.#view.getUint32(this.take(4, what), true);
  }

  /** A number that is too large to be exact is larger than any file. */
  uint64(what: string): number {
    return Number(this.#view.getBigUint64(this.take(8, what), true));
  }

  text(what: string): string {
    const length = this.uint64(what);
    const start = this.take(length, what);
    return decoder.decode(this.#bytes.subarray(start, start + length));
  }

  /** A count of things that take at least `least` bytes each, and of which no model has more than `most`. */
  count(least: number, most: number, what: string): number {
    const count = this.uint64(what);
    if (count > most) throw damaged(this.source, `it claims ${count} ${what}, more than any model has`);
    const left = this.source.size - this.at;
    if (count * least > left) {
      throw new UserError(
        `${this.source.location} is truncated or damaged: it claims ${count} ${what}, but only ${left} bytes follow; get the file again`,
      );
    }
    return count;
  }

  value(type: number, what: string): number | boolean | string {
    const { width, read } = SCALARS[type] ?? {};
    if (read) return read(this.#view, this.take(width!, what));
    if (type === TEXT) return this.text(what);
    throw damaged(this.source, `${what} is of type ${type}, which GGUF does not know`);
  }
}

const decoder = new TextDecoder();

const [TEXT, LIST] = [8, 9];

/** By their numbers in the format; a text and a list are read otherwise. */
const SCALARS: Readonly<Record<number, { width: number; read(view: DataView, at: number): number | boolean }>> = {
  0: { width: 1, read: (view, at) => view.getUint8(at) },
  1: { width: 1, read: (view, at) => view.getInt8(at) },
  2: { width: 2, read: (view, at) => view.getUint16(at, true) },
  3: { width: 2, read: (view, at) => view.getInt16(at, true) },
  4: { width: 4, read: (view, at) => view.getUint32(at, true) },
  5: { width: 4, read: (view, at) => view.getInt32(at, true) },
  6: { width: 4, read: (view, at) => view.getFloat32(at, true) },
  7: { width: 1, read: (view, at) => view.getUint8(at) !== 0 },
  10: { width: 8, read: (view, at) => Number(view.getBigUint64(at, true)) },
  11: { width: 8, read: (view, at) => Number(view.getBigInt64(at, true)) },
  12: { width: 8, read: (view, at) => view.getFloat64(at, true) },
};

function parseHeader(cursor: Cursor): GgufHeader {
  const { source } = cursor;
  const magic = Array.from({ length: 4 }, (_, i) => cursor.value(0, `byte ${i}`) as number);
  if (String.fromCharCode(...magic) !== GGUF_MAGIC) {
    throw new UserError(`${source.location} is no GGUF file: it does not begin with "${GGUF_MAGIC}"`);
  }
  const version = cursor.uint32("the version");
  if (version !== 2 && version !== 3) {
    const why = version % 0x10000 === 0 ? "it is big-endian" : `it is of version ${version}`;
    throw new UserError(
      `${source.location} is not supported: ${why}; versions 2 and 3, little-endian, are: convert the model again`,
    );
  }
  // A tensor takes its name's length, its number of axes, its type and its offset; an entry a length, a type and a byte.
  const tensorCount = cursor.count(24, MAX_ENTRIES, "tensors");
  const entryCount = cursor.count(13, MAX_ENTRIES, "entries of metadata");

  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < entryCount; i++) {
    const key = cursor.text("a metadata key");
    if (metadata.has(key)) throw damaged(source, `it has "${shown(key)}" twice`);
    metadata.set(key, readValue(cursor, `"${shown(key)}"`));
  }
  const alignment = metadata.get("general.alignment") ?? DEFAULT_ALIGNMENT;
  if (typeof alignment !== "number" || !(alignment >= 8 && alignment <= 2 ** 16) || alignment % 8 !== 0) {
    throw damaged(source, `"general.alignment" is ${shown(String(alignment))}, which is no multiple of 8`);
  }
  const tensors = new Map<string, GgufEntry>();
  for (let i = 0; i < tensorCount; i++) {
    const name = cursor.text("a tensor's name");
    if (tensors.has(name)) throw damaged(source, `it has tensor "${shown(name)}" twice`);
    tensors.set(name, readEntry(cursor, name));
  }
  return { metadata, tensors: placed(source, tensors, Math.ceil(cursor.at / alignment) * alignment, alignment) };
}

function readValue(cursor: Cursor, what: string): GgufValue {
  const type = cursor.uint32(what);
  if (type !== LIST) return cursor.value(type, what);
  const itemType = cursor.uint32(what);
  if (itemType === LIST) throw damaged(cursor.source, `${what} is a list of lists, which no model has`);
  const width = itemType === TEXT ? 8 : (SCALARS[itemType]?.width ?? 1);
  const count = cursor.count(width, MAX_ITEMS, `items of ${what}`);
  return Array.from({ length: count }, () => cursor.value(itemType, what));
}

/** A tensor, its place still counted from where the data begin. */
function readEntry(cursor: Cursor, name: string): GgufEntry {
  const { source } = cursor;
  const what = `tensor "${shown(name)}"`;
  const axes = cursor.uint32(what);
  if (axes > MAX_AXES) throw damaged(source, `${what} has ${axes} axes, more than the ${MAX_AXES} that there can be`);
  const shape = Array.from({ length: axes }, () => cursor.uint64(what)).reverse();
  const number = cursor.uint32(what);
  const dtype = GGML_TYPE_NAMES[number];
  if (dtype === undefined || !isSupported(dtype)) {
    throw new UserError(
      `${source.location}: ${what} is of type ${dtype ?? number}, which is not supported; ${Object.keys(GGML_TYPES).join(", ")} are: take the model in another quantisation, such as Q4_K_M or Q8_0`,
    );
  }
  const { values, bytes } = GGML_TYPES[dtype];
  const row = shape.at(-1) ?? 1;
  if (row % values !== 0) {
    throw damaged(source, `${what} of type ${dtype} has rows of ${row} numbers, which is no multiple of ${values}`);
  }
  const begin = cursor.uint64(what);
  return { dtype, shape, begin, end: begin + (sizeOf(shape) / values) * bytes };
}

const isSupported = (name: string): name is GgmlType => Object.hasOwn(GGML_TYPES, name);

/** Tensors with their places in the file: each inside of it, aligned, and none over another. */
function placed(
  source: ByteSource,
  tensors: ReadonlyMap<string, GgufEntry>,
  dataStart: number,
  alignment: number,
): Map<string, GgufEntry> {
  let free = 0;
  for (const [name, { begin, end }] of [...tensors].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end)) {
    const what = `tensor "${shown(name)}"`;
    // Written so that a size beyond all numbers is refused too.
    if (!(dataStart + end <= source.size)) {
      throw new UserError(
        `${source.location} is truncated: ${what} ends at byte ${dataStart + end}, and the file has ${source.size}; get the file again`,
      );
    }
    if (begin < free)
      throw damaged(source, `${what} begins at byte ${begin} of the data, before the one before it ends`);
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

/** A stranger's text, made short. */
const shown = (text: string): string => (text.length > 60 ? `${text.slice(0, 60)}…` : text);
