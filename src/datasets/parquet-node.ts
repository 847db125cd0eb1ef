import {
  type AsyncBuffer,
  asyncBufferFromFile,
  cachedAsyncBuffer,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
} from "hyparquet";
import { UserError } from "../errors.ts";
import type { Table } from "../tasks/rows.ts";
import { PackedRows } from "./packed-rows.ts";
import { checkFooter, checkPages } from "./parquet-bounds-node.ts";
import type { OnRead } from "./text-pieces-node.ts";

/** A table from Parquet files; the `line` of a row is its number, from 1. */
export type ParquetTable = Table & Required<Pick<Table, "classNames">>;

/** Upper limit on the size of a table's files in bytes, because memory holds all rows. */
const MAX_BYTES = 2 ** 32;

/** Bytes of text allowed for any file size, and per byte of the files: a dictionary names a text that many rows have in a bit each. */
const [TEXT, TEXT_PER_BYTE] = [2 ** 24, 256];

interface Feature {
  _type?: string;
  names?: string[];
  feature?: Feature;
}

/**
 * Reads Parquet files with equal columns, in sequence. Class indices become class names, and the class -1, which means no
 * class, undefined. Files inside structs `{ bytes, path }`, such as pictures, stay bytes.
 * @param source the data set and split, for error messages.
 * @throws UserError if a file is damaged or its compression is not supported, the files are too large, or there are no rows.
 */
export async function readParquet(source: string, files: readonly string[], onRead?: OnRead): Promise<ParquetTable> {
  const packed = new PackedRows();
  let columns: string[] = [];
  let classNames = new Map<string, string[]>();
  let bytes = 0;
  for (const path of files) {
    try {
      const file = await asyncBufferFromFile(path);
      bytes += file.byteLength;
      if (bytes > MAX_BYTES)
        throw new Error(
          `${(bytes / 1e9).toFixed(1)} GB are too much, ${(MAX_BYTES / 1e9).toFixed(1)} are read at most; take fewer rows`,
        );
      await checkFooter(file);
      const metadata = await parquetMetadataAsync(file);
      await checkPages(file, metadata);
      const about = metadata.key_value_metadata?.find(({ key }) => key === "huggingface")?.value;
      classNames = classNamesOf(about);
      let read = 0;
      for await (const objects of rowParts(file, metadata)) {
        if (columns.length === 0) columns = Object.keys(objects[0] ?? {});
        for (const object of objects) {
          const cells = columns.map((column) => cellOf(object[column], classNames.get(column)));
          packed.add(packed.length + 1, cells);
          if (packed.bytes > TEXT + TEXT_PER_BYTE * bytes)
            throw new Error(`${bytes} bytes hold more than ${packed.bytes} bytes of text; take fewer rows`);
        }
        read += objects.length;
        await onRead?.((file.byteLength * read) / Number(metadata.num_rows), file.byteLength);
      }
    } catch (error) {
      const whose = source === path ? "" : `${source}: `;
      throw new UserError(`${whose}cannot read ${path}: ${(error as Error).message}`);
    }
  }
  if (packed.length === 0) throw new UserError(`${source} has no rows`);
  return { source, columns, rows: packed.rows(columns.length), classNames };
}

/** Rows of a group that are objects at once: they take several times their bytes. */
const AT_ONCE = 50_000;

/** Rows of a file, a part of a group at a time; whole groups if lists or structs, which have no places to start at, are among the columns. */
async function* rowParts(file: AsyncBuffer, metadata: FileMetaData): AsyncGenerator<Record<string, unknown>[]> {
  const isFlat = metadata.schema
    .slice(1)
    .every(({ num_children, repetition_type }) => !num_children && repetition_type !== "REPEATED");
  let groupEnd = 0;
  for (const { num_rows: rows } of metadata.row_groups) {
    const bytes = cachedAsyncBuffer(file, { minSize: 0 });
    let rowStart = groupEnd;
    groupEnd += Number(rows);
    while (rowStart < groupEnd) {
      const rowEnd = isFlat ? Math.min(groupEnd, rowStart + AT_ONCE) : groupEnd;
      yield await parquetReadObjects({ file: bytes, metadata, rowStart, rowEnd, utf8: false });
      rowStart = rowEnd;
    }
  }
}

function classNamesOf(about: string | undefined): Map<string, string[]> {
  const features: Record<string, Feature> = about === undefined ? {} : (JSON.parse(about).info?.features ?? {});
  const names = new Map<string, string[]>();
  for (const [column, feature] of Object.entries(features)) {
    const { _type, names: found } = feature.feature ?? feature;
    if (_type === "ClassLabel" && found) names.set(column, found);
  }
  return names;
}

function cellOf(value: unknown, classNames: readonly string[] | undefined): unknown {
  if (Array.isArray(value)) return value.map((each) => cellOf(each, classNames));
  // A text; some writers do not declare its type.
  if (value instanceof Uint8Array) return new TextDecoder().decode(value);
  const plain = withoutBigints(value);
  return classNames && typeof plain === "number" ? classNames[plain] : plain;
}

/** A value with numbers instead of bigints, which JSON lacks; bytes inside structs stay. */
function withoutBigints(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (Array.isArray(value)) return value.map(withoutBigints);
  if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, withoutBigints(each)]));
}
