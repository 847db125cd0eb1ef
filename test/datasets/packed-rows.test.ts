import { expect, test } from "vitest";
import { PackedRows } from "../../src/datasets/packed-rows.ts";
import { TableReader } from "../../src/datasets/parse-table.ts";

/** More than a block of bytes. */
const LONG = "a line of text\n".repeat(600_000);

test("cells of every type become the same values again", () => {
  const bytes = Uint8Array.of(1, 2, 255);
  const rows = [
    ["text", "", "\uFEFFafter a mark", "ä 漢 😀", "half of a pair \ud800"],
    [0, -0, 1.5, Number.NaN, Number.POSITIVE_INFINITY],
    [true, null, undefined, ["a", ["b", 1]], { messages: [{ role: "user", content: "hi" }] }],
    [bytes, { bytes, path: null }, { missing: undefined }, new Date(0), 12n],
    ["a row of fewer cells"],
    ["before", LONG, "after", LONG],
  ];
  const packed = new PackedRows();
  rows.forEach((cells, i) => {
    packed.add(2 * i + 1, cells);
  });
  const read = packed.rows(5);
  expect(read.map(({ line }) => line)).toEqual([1, 3, 5, 7, 9, 11]);
  read.map(({ cells }, i) => expect([...cells]).toStrictEqual(Array.from({ length: 5 }, (_, j) => rows[i]![j])));
});

/** Text of each format, with its rows. */
const FILES = {
  csv: [
    '\uFEFFtext,label\r\n"a, ""b""\nc",x\r\n,\r\nd,y\n\n"é",z',
    [
      ['a, "b"\nc', "x"],
      ["d", "y"],
      ["é", "z"],
    ],
    [2, 5, 7],
  ],
  tsv: [
    "\na\tb\r\n1\t2\r\n\n3\t\n",
    [
      ["1", "2"],
      ["3", ""],
    ],
    [3, 5],
  ],
  jsonl: [
    '{"b":1,"a":"x"}\n\n{"c":[1,{"d":null}],"a":"é"}\r\n{"a":false}',
    [
      [1, "x", undefined],
      [undefined, "é", [1, { d: null }]],
      [undefined, false, undefined],
    ],
    [1, 3, 4],
  ],
  conll: [
    "-DOCSTART- O\n\nEU B-ORG\nrejects O\n\n\nPeter B-PER\n",
    [
      [
        ["EU", "rejects"],
        ["B-ORG", "O"],
      ],
      [["Peter"], ["B-PER"]],
    ],
    [3, 7],
  ],
  lines: ["one\r\n\n  \ntwo\rthree\nfour", [["one"], ["two\rthree"], ["four"]], [1, 4, 5]],
} as const;

test.each(Object.keys(FILES) as (keyof typeof FILES)[])(
  "%s that arrives in pieces gives the rows of the whole",
  (format) => {
    const [text, cells, lines] = FILES[format];
    const tableOf = (size: number, everyLine = false) => {
      const reader = new TableReader("file", format, { everyLine });
      for (let at = 0; at < text.length; at += size) reader.read(text.slice(at, at + size));
      const { columns, rows } = reader.rest();
      return { columns, cells: rows.map(({ cells: own }) => [...own]), lines: rows.map(({ line }) => line) };
    };
    expect(tableOf(text.length)).toMatchObject({ cells, lines });
    for (const everyLine of [false, true]) {
      for (const size of [1, 2, 3, 5, 8]) expect(tableOf(size, everyLine)).toEqual(tableOf(text.length, everyLine));
    }
  },
);
