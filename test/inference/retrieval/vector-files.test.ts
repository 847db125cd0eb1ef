import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parquetReadObjects } from "hyparquet";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readNpy, writeVectors } from "../../../src/inference/retrieval/vector-files-node.ts";

let folder: string;
const at = (name: string): string => join(folder, name);
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "aflora-vectors-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** Five texts in two parts. */
const texts = ["a", "ünï", '"c"', "", "e"];
const vectors = texts.map((_, i) => Float32Array.of(i + 0.5, 1 - i, 1 / (i + 1)));
async function* parts() {
  yield { texts: texts.slice(0, 3), vectors: vectors.slice(0, 3) };
  yield { texts: texts.slice(3), vectors: vectors.slice(3) };
}

test("vectors of several parts become one NumPy file, with a header that NumPy reads", async () => {
  await writeVectors(at("some.npy"), parts());
  expect(await readNpy(at("some.npy"))).toEqual(vectors);
  const bytes = await readFile(at("some.npy"));
  expect(bytes.length).toBe(128 + 5 * 3 * 4);
  expect(bytes.readUInt16LE(8)).toBe(118);
  expect(bytes.toString("latin1", 10, 128)).toBe(
    `${"{'descr': '<f4', 'fortran_order': False, 'shape': (5, 3), }".padEnd(117)}\n`,
  );
});

test("they become one JSON Lines or parquet file; the extension may be in capitals", async () => {
  await writeVectors(at("some.JSONL"), parts());
  const rows = (await readFile(at("some.JSONL"), "utf8")).trimEnd().split("\n");
  const read = rows.map((row) => JSON.parse(row) as { text: string; embedding: number[] });
  expect(read.map(({ text }) => text)).toEqual(texts);
  expect(read.map(({ embedding }) => Float32Array.from(embedding))).toEqual(vectors);
  await writeVectors(at("some.parquet"), parts());
  const { buffer, byteOffset, length } = await readFile(at("some.parquet"));
  const file = buffer.slice(byteOffset, byteOffset + length) as ArrayBuffer;
  expect(await parquetReadObjects({ file })).toEqual(
    texts.map((text, i) => ({ text, embedding: Array.from(vectors[i]!) })),
  );
});

test("nothing is written if the extension is unknown, or if a part fails", async () => {
  for (const name of ["some.txt", "some", "some.npy.gz"]) {
    await expect(writeVectors(at(name), parts())).rejects.toThrow(
      `${at(name)}: its name must end in .jsonl, .npy, .parquet`,
    );
    expect(existsSync(at(name))).toBe(false);
  }
  async function* failing() {
    yield { texts, vectors };
    throw new Error("no more");
  }
  await expect(writeVectors(at("half.npy"), failing())).rejects.toThrow("no more");
  expect(existsSync(at("half.npy"))).toBe(false);
});

test.each<[string, (file: string) => string, RegExp]>([
  ["text", () => "text", /is not a NumPy file/],
  ["nothing", () => "", /is not a NumPy file/],
  ["another version", (file) => file.replace("\x01", "\x02"), /is not a NumPy file/],
  ["a file that ends early", (file) => file.slice(0, -1), /is cut off/],
  ["a file that goes on", (file) => `${file}more`, /is cut off/],
  ["float64", (file) => file.replace("<f4", "<f8"), /holds no rows of float32 numbers/],
  ["columns first", (file) => file.replace("False", "True "), /holds no rows of float32 numbers/],
  ["one axis", (file) => file.replace("(5, 3)", "(15,) "), /holds no rows of float32 numbers/],
  ["no rows", (file) => file.replace("(5, 3)", "(0, 3)"), /holds no rows of float32 numbers/],
  ["rows of nothing", (file) => file.replace("(5, 3)", "(5, 0)"), /holds no rows of float32 numbers/],
])("%s is refused in a sentence", async (_, change, message) => {
  await writeVectors(at("sound.npy"), parts());
  await writeFile(at("changed.npy"), change(await readFile(at("sound.npy"), "latin1")), "latin1");
  await expect(readNpy(at("changed.npy"))).rejects.toThrow(message);
});
