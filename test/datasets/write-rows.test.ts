import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parquetWriteFile } from "hyparquet-writer";
import { afterAll, beforeAll, expect, test } from "vitest";
import { fileFormat, readTable } from "../../src/datasets/read-table-node.ts";
import { refuseOutput, writeRows } from "../../src/datasets/write-rows-node.ts";

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-rows-"));
});
afterAll(() => rm(home, { recursive: true }));

const table = {
  source: "in.jsonl",
  columns: ["id", "message", "tags"],
  rows: [
    { line: 1, cells: [1, 'my "card", twice', ["a", "b"]] },
    { line: 2, cells: [2, "left out", []] },
    { line: 3, cells: [3, undefined, undefined] },
  ],
};
const CHOSEN = [
  [0, ["billing", 0.5]],
  [2, [undefined, 0.25]],
] as const;

test.each(["jsonl", "parquet"])("rows of a %s file keep their types, beside the new cells", async (ending) => {
  const file = join(home, `out.${ending}`);
  await writeRows(file, table, ["label", "share"], CHOSEN);
  const read = await readTable(file, await fileFormat(file));
  expect(read.columns).toEqual(["id", "message", "tags", "label", "share"]);
  expect([...read.rows].map(({ cells }) => [...cells].map((cell) => cell ?? undefined))).toEqual([
    [1, 'my "card", twice', ["a", "b"], "billing", 0.5],
    [3, undefined, undefined, undefined, 0.25],
  ]);
});

test("rows of a parquet file with one large group come in parts, in their order", async () => {
  const file = join(home, "many.parquet");
  const numbers = Array.from({ length: 120_000 }, (_, i) => i);
  const texts = numbers.map((i) => `row ${i % 1000}`);
  parquetWriteFile({
    filename: file,
    columnData: [
      { name: "id", data: numbers, type: "INT32" },
      { name: "text", data: texts, type: "STRING" },
    ],
    rowGroupSize: numbers.length,
  });
  const { rows } = await readTable(file, "parquet");
  expect(rows.length).toBe(120_000);
  expect(rows.every(({ cells }, i) => cells.at(0) === i && cells.at(1) === texts[i])).toBe(true);
});

test("large integers inside lists and structs of a parquet file are numbers; bytes there stay", async () => {
  const file = join(home, "structs.parquet");
  const bytes = Uint8Array.of(137, 80);
  parquetWriteFile({
    filename: file,
    columnData: [{ name: "about", data: [{ id: 7n, counts: [1n, 2n], from: { line: 3n, bytes } }] }],
    schema: [
      { name: "root", num_children: 1 },
      { name: "about", num_children: 3, repetition_type: "REQUIRED" },
      { name: "id", type: "INT64", repetition_type: "REQUIRED" },
      { name: "counts", repetition_type: "REQUIRED", converted_type: "LIST", num_children: 1 },
      { name: "list", repetition_type: "REPEATED", num_children: 1 },
      { name: "element", type: "INT64", repetition_type: "REQUIRED" },
      { name: "from", num_children: 2, repetition_type: "REQUIRED" },
      { name: "line", type: "INT64", repetition_type: "REQUIRED" },
      { name: "bytes", type: "BYTE_ARRAY", repetition_type: "REQUIRED" },
    ],
  });
  const { rows } = await readTable(file, "parquet");
  expect(rows.at(0)!.cells.at(0)).toEqual({ id: 7, counts: [1, 2], from: { line: 3, bytes } });
});

test("rows of a CSV file are text, with lists as JSON", async () => {
  const file = join(home, "out.CSV");
  await writeRows(file, table, ["label", "share"], CHOSEN);
  expect(await readFile(file, "utf8")).toBe(
    'id,message,tags,label,share\n1,"my ""card"", twice","[""a"",""b""]",billing,0.5\n3,,,,0.25\n',
  );
});

test("more rows than are text at the same time follow each other in a file", async () => {
  const rows = Array.from({ length: 2001 }, (_, i) => ({ line: i + 1, cells: [i] }));
  const chosen = rows.map((_, i) => [i, [`row ${i}`]] as const);
  for (const ending of ["csv", "jsonl"] as const) {
    const file = join(home, `many.${ending}`);
    await writeRows(file, { source: "", columns: ["id"], rows }, ["label"], chosen);
    const read = await readTable(file, ending);
    expect([...read.rows].map(({ cells }) => cells.at(1))).toEqual(chosen.map(([, [label]]) => label));
  }
});

test("a column without any cell and one of mixed cells can be written as parquet", async () => {
  const file = join(home, "mixed.parquet");
  const rows = [
    { line: 1, cells: [undefined, 1] },
    { line: 2, cells: [undefined, "one"] },
  ];
  await writeRows(
    file,
    { source: "", columns: ["none", "mixed"], rows },
    [],
    [
      [0, []],
      [1, []],
    ],
  );
  const read = await readTable(file, "parquet");
  expect([...read.rows].map(({ cells }) => cells.at(1))).toEqual([1, "one"]);
});

test("a file of another kind and a column that exists are refused", () => {
  expect(() => refuseOutput(table, "out.xlsx", [])).toThrow(/its name must end in \.csv, \.jsonl, \.parquet/);
  expect(() => refuseOutput(table, "out.csv", ["id"])).toThrow('in.jsonl has a column "id" already');
});
