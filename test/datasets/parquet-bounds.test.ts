import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readParquet } from "../../src/datasets/parquet-node.ts";
import { UserError } from "../../src/errors.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "aflora-parquet-"));
});
afterAll(() => rm(folder, { recursive: true }));

// ---------------------------------------------------------------- Thrift's compact protocol, as far as parquet needs it

type Field = number | bigint | string | Field[] | { [id: number]: Field };

const varint = (value: bigint): number[] =>
  value < 128n ? [Number(value)] : [Number(value & 127n) | 128, ...varint(value >> 7n)];
const zigzag = (value: number | bigint): number[] => {
  const big = BigInt(value);
  return varint(big < 0n ? -big * 2n - 1n : big * 2n);
};

const typeOf = (field: Field): number => {
  if (typeof field === "number") return 5;
  if (typeof field === "bigint") return 6;
  if (typeof field === "string") return 8;
  return Array.isArray(field) ? 9 : 12;
};

function encode(field: Field): number[] {
  if (typeof field === "number" || typeof field === "bigint") return zigzag(field);
  if (typeof field === "string") return [...varint(BigInt(field.length)), ...Buffer.from(field)];
  if (Array.isArray(field))
    return [0xf0 | typeOf(field[0]!), ...varint(BigInt(field.length)), ...field.flatMap(encode)];
  let before = 0;
  const parts = Object.entries(field).flatMap(([id, value]) => {
    const head = ((Number(id) - before) << 4) | typeOf(value);
    before = Number(id);
    return [head, ...encode(value)];
  });
  return [...parts, 0];
}

// ---------------------------------------------------------------- a file of one column and one page

const ENCODING = { plain: 0, dictionary: 8, deltaByteArray: 7 };
const DICTIONARY_PAGE = 2;
const INT32 = 1;
const BYTE_ARRAY = 6;

interface Made {
  rows?: number;
  /** The claims of its only page. */
  count?: number;
  size?: number;
  page?: number[];
  encoding?: number;
  type?: number;
  snappy?: boolean;
  /** A text, the only one of a dictionary. */
  dictionary?: string;
  footer?: (bytes: number[]) => number[];
}

function dictionaryPage(text: string): number[] {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  const page = [...length, ...Buffer.from(text)];
  return [...encode({ 1: DICTIONARY_PAGE, 2: page.length, 3: page.length, 7: { 1: 1, 2: ENCODING.plain } }), ...page];
}

/** Three rows of one column "n", 1, 2 and 3, with some parts replaced. */
async function make(name: string, given: Made = {}): Promise<string> {
  const { rows = 3, page = [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0], encoding = ENCODING.plain, type = INT32 } = given;
  const { count = 3, size = page.length, snappy = false, footer = (bytes) => bytes } = given;
  const dictionary = given.dictionary === undefined ? [] : dictionaryPage(given.dictionary);
  const header = encode({ 1: 0, 2: size, 3: page.length, 5: { 1: count, 2: encoding, 3: 3, 4: 3 } });
  const column = {
    ...{ 1: type, 2: [encoding], 3: ["n"], 4: snappy ? 1 : 0, 5: BigInt(count) },
    ...{
      6: BigInt(size),
      7: BigInt(dictionary.length + header.length + page.length),
      9: BigInt(4 + dictionary.length),
    },
    ...(dictionary.length > 0 && { 11: 4n }),
  };
  const metadata = footer(
    encode({
      1: 1,
      2: [
        { 4: "schema", 5: 1 },
        { 1: type, 3: 0, 4: "n" },
      ],
      3: BigInt(rows),
      4: [{ 1: [{ 2: 4n, 3: column }], 2: BigInt(size), 3: BigInt(rows) }],
    }),
  );
  const length = Buffer.alloc(4);
  length.writeUInt32LE(metadata.length);
  const file = join(folder, `${name}.parquet`);
  const bytes = [
    ...Buffer.from("PAR1"),
    ...dictionary,
    ...header,
    ...page,
    ...metadata,
    ...length,
    ...Buffer.from("PAR1"),
  ];
  await writeFile(file, Buffer.from(bytes));
  return file;
}

test("reads texts by a dictionary", async () => {
  const made = { type: BYTE_ARRAY, dictionary: "a text", encoding: ENCODING.dictionary, page: [1, ...run(3)] };
  const { rows } = await readParquet("made", [await make("dictionary", made)]);
  expect(rows.map(({ cells }) => [...cells])).toEqual([["a text"], ["a text"], ["a text"]]);
});

test("reads a small file", async () => {
  const { columns, rows } = await readParquet("made", [await make("sound")]);
  expect([columns, rows.map(({ cells }) => [...cells])]).toEqual([["n"], [[1], [2], [3]]]);
});

/** A run of `count` equal one-bit values: its length, shifted, and the value. */
const run = (count: number): number[] => [...varint(BigInt(count) * 2n), 0];

test.each<[name: string, made: Made, message: string]>([
  ["rows", { rows: 1e9 }, "it claims 1000000000 rows in"],
  ["values", { count: 2e9, encoding: ENCODING.dictionary, page: [1, ...run(2e9)] }, "it claims 2000000000 values in"],
  ["run", { encoding: ENCODING.dictionary, page: [1, ...run(1e9)] }, "a page of 3 values has a run of 1000000000"],
  ["unpacked page", { size: 2 ** 31 - 1, snappy: true }, "a page of 12 bytes claims to hold 2147483647"],
  [
    "list",
    // Instead of the row groups.
    { footer: (bytes) => [...bytes.slice(0, -1), 0x19, 0xfc, ...varint(30_000_000n), 0] },
    "its metadata end early",
  ],
  [
    "beginnings",
    {
      count: 200_000,
      rows: 200_000,
      type: BYTE_ARRAY,
      encoding: ENCODING.deltaByteArray,
      // Prefix lengths: 0, then 1,000,000 for all others in one block without bits; suffix lengths: 1, then 0.
      page: [
        ...[...varint(200_064n), 1, ...varint(200_000n), ...zigzag(1_000_000), ...zigzag(0), 0],
        ...[...varint(200_064n), 1, ...varint(200_000n), ...zigzag(0), ...zigzag(0), 0],
      ],
    },
    "bytes claim 200000000000 bytes of text",
  ],
  [
    "repeated texts",
    {
      ...{ count: 200_000, rows: 200_000, type: BYTE_ARRAY, encoding: ENCODING.dictionary },
      ...{ dictionary: "x".repeat(10_000), page: [1, ...run(200_000)] },
    },
    "bytes of text; take fewer rows",
  ],
])("rejects a tiny file that claims too many %s before allocating memory", async (name, made, message) => {
  const file = await make(name, made);
  const before = process.memoryUsage.rss();
  const started = process.cpuUsage();
  const failure = await readParquet("made", [file]).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(UserError);
  expect((failure as Error).message).toContain(message);
  // The process's own CPU time, independent of the machine's load.
  expect(process.cpuUsage(started).user / 1e6).toBeLessThan(5);
  expect(process.memoryUsage.rss() - before).toBeLessThan(64 * 2 ** 20);
});
