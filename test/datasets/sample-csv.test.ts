import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { CsvParser, parseCsv } from "../../src/datasets/parse-csv.ts";
import { sampleCsv } from "../../src/datasets/sample-csv-node.ts";
import { loadTableTask } from "../../src/datasets/table-node.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "aflora-sample-csv-"));
});
afterAll(() => rm(folder, { recursive: true }));

const write = async (name: string, content: string | Uint8Array): Promise<string> => {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
};

it.each([
  ["quotes, CRLF line ends and empty lines", 'a,b\r\n"1, ""x""","two\r\nlines"\r\n\r\nsay "hi",\n"",""\rlast,"é"'],
  ["semicolons, and a header after empty lines", '\n\nname;"a, b"\n1;2\n'],
  ["one column", "text\na\nb"],
])("streamed CSV has the same rows as the whole text: %s", (_, text) => {
  const whole = parseCsv(text, "a.csv");
  for (let size = 1; size <= text.length; size++) {
    const parser = new CsvParser("a.csv");
    const rows = [];
    for (let at = 0; at < text.length; at += size) rows.push(...parser.rowsOf(text.slice(at, at + size)));
    rows.push(...parser.rest());
    expect(rows, `pieces of ${size}`).toEqual(whole);
  }
});

it("reports an unclosed quote by its line, within bounded memory", () => {
  const parser = new CsvParser("a.csv");
  parser.rowsOf('a,b\n1,2\n"3,');
  expect(() => parser.rest()).toThrow("a quote that opens in line 3 is never closed");
  const endless = new CsvParser("a.csv");
  endless.rowsOf('a,b\n"1,');
  expect(() => endless.rowsOf("x".repeat(2 ** 24))).toThrow("a quote that opens in line 2 is never closed");
});

it("a sample covers the whole file in order, reproducibly, with a row of each label", async () => {
  const rows = Array.from({ length: 5000 }, (_, i) => `text ${i},${i === 4321 ? "rare" : i % 2 ? "odd" : "even"}\n`);
  const path = await write("numbers.csv", `text,label\n${rows.join("")}`);
  const table = await sampleCsv(path, 200, "label");
  const drawn = table.rows.map(({ cells }) => Number((cells.at(0) as string).slice(5)));
  expect(table.rows.map(({ line }) => line)).toEqual(drawn.map((i) => i + 2));
  expect(drawn).toEqual(drawn.toSorted((a, b) => a - b));
  expect(new Set(drawn).size).toBe(201);
  expect(drawn).toContain(4321);
  // Of 200 rows, 50 are expected in each quarter, with a standard deviation of 6.
  for (const quarter of [0, 1, 2, 3]) {
    const count = drawn.filter((i) => Math.floor(i / 1250) === quarter).length;
    expect(Math.abs(count - 50), `quarter ${quarter}`).toBeLessThan(25);
  }
  expect(await sampleCsv(path, 200, "label")).toEqual(table);
  // Numbers are not labels.
  const numbers = await write("scores.csv", `text,label\n${rows.map((_, i) => `a,${i}.5\n`).join("")}`);
  expect((await sampleCsv(numbers, 200, "label")).rows).toHaveLength(200);
});

it("reports a malformed row anywhere in the file", async () => {
  await expect(sampleCsv(await write("wide.csv", `a,b\n${"1,2\n".repeat(500)}1,2,3\n`), 5, "b")).rejects.toThrow(
    /wide\.csv, line 502: 3 fields, too many: the header has 2/,
  );
  await expect(sampleCsv(await write("empty.csv", "\n\n"), 5, "b")).rejects.toThrow(/empty\.csv is empty/);
  await expect(sampleCsv(await write("header.csv", "a,b\n"), 5, "b")).rejects.toThrow(/has no rows, only a header/);
  await expect(sampleCsv(await write("latin.csv", Buffer.from("a,b\n\xe9,1\n", "latin1")), 5, "b")).rejects.toThrow(
    /is not UTF-8 text/,
  );
});

it("samples few examples of a large file by class", async () => {
  const filler = "a long text of a customer who waits ".repeat(30);
  const rows = Array.from({ length: 32_000 }, (_, i) => `${filler}${i},${["billing", "shipping"][i % 2]}\n`);
  const train = await write("large.csv", `message,team\n${rows.join("")}`);
  const task = await loadTableTask({ train, text: "message", label: "team", maxTrainSamples: 100 });
  expect(task.labels).toEqual(["billing", "shipping"]);
  expect(task.train.length + task.validation[0]!.examples.length).toBe(100);
  for (const { text } of task.train) expect(text).toContain(filler);
}, 600_000);
