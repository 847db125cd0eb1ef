import type { AsyncBuffer, FileMetaData, PageHeader } from "hyparquet";
import { parquetHeader } from "hyparquet/src/column.js";
import { decompressPage } from "hyparquet/src/datapage.js";
import { deltaBinaryUnpack } from "hyparquet/src/delta.js";
import { getMaxDefinitionLevel, getMaxRepetitionLevel, getSchemaPath } from "hyparquet/src/schema.js";
import { readVarInt } from "hyparquet/src/thrift.js";

/** Number of values allowed for any file size: a column of equal values takes a few bytes. */
const VALUES = 250_000;
/** Additional values allowed per byte of the file. */
const VALUES_PER_BYTE = 2;
/** Largest ratio of Snappy's decompression: it copies 64 bytes by an element of three. */
const SNAPPY_RATIO = 64 / 3;
/** Bytes of shared prefixes of texts allowed for any file size, and per byte of the file. */
const [SHARED, SHARED_PER_BYTE] = [2 ** 24, 20];
/** Number of values by which a bit-packed run may exceed its page: writers pad the last run. */
const PADDING = 512;

interface Reader {
  view: DataView<ArrayBuffer>;
  offset: number;
}

/**
 * Checks that the lists in a Parquet footer are no longer than its bytes, before hyparquet allocates memory for them.
 * @throws Error if one is
 */
export async function checkFooter(file: AsyncBuffer): Promise<void> {
  if (file.byteLength < 12) throw new Error("it is too short");
  const end = new DataView(await file.slice(file.byteLength - 8));
  const length = end.getUint32(0, true);
  if (length > file.byteLength - 8) throw new Error("its metadata are longer than it is");
  skipStruct({ view: new DataView(await file.slice(file.byteLength - 8 - length, file.byteLength - 8)), offset: 0 });
}

/**
 * Checks the rows, values and pages that a Parquet file claims against its bytes, before hyparquet allocates memory for
 * them. https://parquet.apache.org/docs/file-format/data-pages/
 * @throws Error if it claims too much
 */
export async function checkPages(file: AsyncBuffer, { row_groups, schema }: FileMetaData): Promise<void> {
  const most = VALUES + VALUES_PER_BYTE * file.byteLength;
  let [stored, rows, values] = [0, 0, 0];
  for (const group of row_groups) {
    rows += Number(group.num_rows);
    if (!(rows >= 0 && rows <= most)) throw new Error(`it claims ${rows} rows in ${file.byteLength} bytes`);
    for (const { meta_data } of group.columns) {
      if (!meta_data) throw new Error("a column has no metadata");
      const start = Number(meta_data.dictionary_page_offset || meta_data.data_page_offset);
      const length = Number(meta_data.total_compressed_size);
      stored += length;
      if (!(start >= 0 && length >= 0 && start + length <= file.byteLength && stored <= file.byteLength)) {
        throw new Error("its columns are larger than it is");
      }
      const path = getSchemaPath(schema, meta_data.path_in_schema);
      const levels = [getMaxRepetitionLevel(path), getMaxDefinitionLevel(path)].map((level) => 32 - Math.clz32(level));
      const { type } = path.at(-1)!.element;
      const reader: Reader = { view: new DataView(await file.slice(start, start + length)), offset: 0 };
      while (reader.offset < reader.view.byteLength - 1) {
        skipStruct({ ...reader });
        const header = parquetHeader(reader);
        const size = header.compressed_page_size;
        if (!(size >= 0 && reader.offset + size <= reader.view.byteLength)) {
          throw new Error("a page is larger than its column");
        }
        const data = header.data_page_header ?? header.data_page_header_v2;
        const count = (data ?? header.dictionary_page_header)?.num_values ?? 0;
        values += count;
        if (!(count >= 0 && values <= most)) throw new Error(`it claims ${values} values in ${file.byteLength} bytes`);
        const page = new Uint8Array(reader.view.buffer, reader.view.byteOffset + reader.offset, size);
        reader.offset += size;
        if (data) checkPage(page, header, { codec: meta_data.codec, type, levels, fileSize: file.byteLength });
        else pageSize(header.uncompressed_page_size, size, meta_data.codec);
      }
    }
  }
}

interface Column {
  codec: "UNCOMPRESSED" | "SNAPPY" | string;
  type: string | undefined;
  /** Bits of a repetition level and of a definition level; 0 without levels. */
  levels: readonly number[];
  fileSize: number;
}

/** Returns the claimed uncompressed size of a page. @throws Error if no compression could give it */
function pageSize(claimed: number, packed: number, codec: string): number {
  const most = codec === "SNAPPY" ? Math.ceil(SNAPPY_RATIO * packed) : packed;
  if (!(claimed >= 0 && claimed <= most)) throw new Error(`a page of ${packed} bytes claims to hold ${claimed}`);
  return claimed;
}

/** Checks a page's runs of levels and of dictionary indices, and prefixes that texts share. */
function checkPage(
  packed: Uint8Array<ArrayBuffer>,
  header: PageHeader,
  { codec, type, levels, fileSize }: Column,
): void {
  const { data_page_header: v1, data_page_header_v2: v2, uncompressed_page_size } = header;
  let encoding: string | undefined;
  let reader: Reader;
  let count: number;
  const unpacked = (bytes: Uint8Array<ArrayBuffer>, claimed: number): Reader => {
    const page = decompressPage(bytes, pageSize(claimed, bytes.length, codec), codec as "SNAPPY", undefined);
    return { view: new DataView(page.buffer as ArrayBuffer, page.byteOffset, page.byteLength), offset: 0 };
  };
  if (v1) {
    ({ encoding, num_values: count } = v1);
    reader = unpacked(packed, uncompressed_page_size);
    for (const width of levels) if (width > 0) skipRuns(reader, width, count);
  } else {
    ({ encoding, num_values: count } = v2!);
    const lengths = [v2!.repetition_levels_byte_length, v2!.definition_levels_byte_length];
    const before: Reader = { view: new DataView(packed.buffer, packed.byteOffset, packed.byteLength), offset: 0 };
    levels.forEach((width, i) => {
      if (width > 0) skipRuns(before, width, count, lengths[i]!);
    });
    const start = lengths[0]! + lengths[1]!;
    const rest = packed.subarray(start);
    const claimed = uncompressed_page_size - start;
    reader =
      v2!.is_compressed === false
        ? { view: new DataView(rest.buffer, rest.byteOffset, rest.byteLength), offset: 0 }
        : unpacked(rest, claimed);
    count -= v2!.num_nulls;
    if (!(count >= 0)) throw new Error("a page has more nulls than values");
  }
  if (encoding === "RLE" && type === "BOOLEAN") skipRuns(reader, 1, count, v2 ? reader.view.byteLength : undefined);
  else if (encoding?.endsWith("DICTIONARY") || encoding === "RLE") {
    if (reader.offset >= reader.view.byteLength) return;
    const width = reader.view.getUint8(reader.offset++);
    if (width > 0) skipRuns(reader, width, count, reader.view.byteLength - reader.offset);
  } else if (encoding === "DELTA_BYTE_ARRAY") {
    const lengths = new Int32Array(count);
    deltaBinaryUnpack(reader, count, lengths);
    const shared = lengths.reduce((sum, length) => sum + length, 0);
    if (shared > SHARED + SHARED_PER_BYTE * fileSize)
      throw new Error(`${fileSize} bytes claim ${shared} bytes of text`);
  }
}

/** Skips runs of `width` bits per value. @param length in bytes (default: read from before the runs) */
function skipRuns(reader: Reader, width: number, count: number, length?: number): void {
  let bytes = length;
  if (bytes === undefined) {
    bytes = reader.view.getUint32(reader.offset, true);
    reader.offset += 4;
  }
  const end = reader.offset + bytes;
  // There may be fewer dictionary indices than values: nulls have none.
  for (let seen = 0; seen < count && reader.offset < Math.min(end, reader.view.byteLength); ) {
    const header = readVarInt(reader);
    const run = header & 1 ? (header >>> 1) * 8 : header >>> 1;
    if (run > count - seen + PADDING) throw new Error(`a page of ${count} values has a run of ${run}`);
    reader.offset += header & 1 ? (header >>> 1) * width : (width + 7) >> 3;
    seen += run;
  }
  reader.offset = end;
}

/** Skips a struct of Thrift's compact protocol. @throws Error if it holds a list longer than the remaining bytes */
function skipStruct(reader: Reader): void {
  for (;;) {
    const byte = reader.view.getUint8(reader.offset++);
    const type = byte & 15;
    if (type === 0) return;
    if (byte >> 4 === 0) readVarInt(reader);
    skipValue(reader, type);
  }
}

function skipValue(reader: Reader, type: number): void {
  switch (type) {
    case 1:
    case 2:
      return;
    case 3:
      reader.offset++;
      return;
    case 4:
    case 5:
    case 6:
      while (reader.view.getUint8(reader.offset++) & 0x80);
      return;
    case 7:
      reader.offset += 8;
      return;
    case 8:
      skip(reader, readVarInt(reader));
      return;
    case 9: {
      const byte = reader.view.getUint8(reader.offset++);
      const size = byte >> 4 === 15 ? readVarInt(reader) : byte >> 4;
      skip({ ...reader }, size);
      const element = byte & 15;
      // Booleans take a byte in a list, none in a field.
      for (let i = 0; i < size; i++) skipValue(reader, element === 1 || element === 2 ? 3 : element);
      return;
    }
    case 12:
      skipStruct(reader);
      return;
    default:
      throw new Error(`its metadata hold a value of type ${type}`);
  }
}

function skip(reader: Reader, bytes: number): void {
  if (!(bytes >= 0 && reader.offset + bytes <= reader.view.byteLength)) throw new Error("its metadata end early");
  reader.offset += bytes;
}
