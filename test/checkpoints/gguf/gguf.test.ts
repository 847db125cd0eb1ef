import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { bytesSource } from "../../../src/checkpoints/byte-source.ts";
import { type Gguf, openGguf } from "../../../src/checkpoints/gguf/gguf.ts";
import { tokenizerOf } from "../../../src/checkpoints/gguf/tokenizer.ts";
import { openSafetensorsFile } from "../../../src/checkpoints/safetensors-node.ts";
import { UserError } from "../../../src/errors.ts";
import { quantizeGroups } from "../../../src/graph/quantize.ts";

const FIXTURES = fileURLToPath(new URL("../../fixtures/gguf/", import.meta.url));
const sound = new Uint8Array(await readFile(`${FIXTURES}blocks.gguf`));

const open = (bytes: Uint8Array): Promise<Gguf> => openGguf(bytesSource("model.gguf", bytes));

/** The file with some bytes changed. */
function changed(change: (view: DataView, bytes: Uint8Array) => void): Uint8Array {
  const bytes = sound.slice();
  change(new DataView(bytes.buffer), bytes);
  return bytes;
}

/** Where a text lies in the file, and ends. */
function placeOf(text: string): { begin: number; end: number } {
  const begin = Buffer.from(sound).indexOf(text);
  return { begin, end: begin + Buffer.byteLength(text) };
}

describe("a GGUF file", () => {
  it.each(["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"])(
    "holds %s as the Python package gguf reads it, to the bit",
    async (type) => {
      const expected = await (await openSafetensorsFile(`${FIXTURES}blocks.safetensors`)).read(type);
      const file = await open(sound);
      expect(file.tensors.get(type)).toMatchObject({ dtype: type, shape: expected.shape });
      const found = await file.read(type);
      expect(found.shape).toEqual(expected.shape);
      expect(found.data).toEqual(expected.data);
      expect(found.data.some((value) => value !== 0)).toBe(true);
    },
  );

  it("holds Q4_0 that is the same under --base int4", async () => {
    const file = await open(sound);
    const { data } = await file.read("Q4_0");
    const { packed, scales } = quantizeGroups(data);
    const again = data.map((_, i) => {
      const [group, inGroup] = [Math.floor(i / 32), i % 32];
      const byte = packed[16 * group + (inGroup % 16)]!;
      return scales[group]! * ((inGroup < 16 ? byte & 15 : byte >> 4) - 8);
    });
    expect(again.map((value) => value + 0)).toEqual(data.map((value) => value + 0));
    // Behind each block's scale of two bytes.
    const { begin, end } = file.tensors.get("Q4_0")!;
    const stored = Uint8Array.from(sound.subarray(begin, end).filter((_, i) => i % 18 >= 2));
    expect(packed).toEqual(stored);
  });

  it("has metadata of every kind", async () => {
    const { metadata } = await open(sound);
    expect(Object.fromEntries(metadata)).toEqual({
      "general.architecture": "llama",
      "general.name": "blocks of each type, ünïcödé",
      "test.numbers": Int32Array.of(1, 2, 3),
      "test.texts": ["a", "", "ß"],
      "test.bool": true,
      "test.int64": -5,
      "test.float64": 0.1,
    });
  });

  it("is read in parts where its header is long", async () => {
    // A header of 5 MB: the general name is that long.
    const { begin, end } = placeOf("blocks of each type, ünïcödé");
    const long = 5_000_000 - 8;
    const bytes = new Uint8Array(sound.length + long + 8);
    bytes.set(sound.subarray(0, begin));
    bytes.fill(0x61, begin, end + long);
    bytes.set(sound.subarray(end), end + long);
    new DataView(bytes.buffer).setBigUint64(begin - 8, BigInt(end - begin + long), true);
    const { metadata, tensors } = await open(bytes);
    expect((metadata.get("general.name") as string).length).toBe(end - begin + long);
    expect(tensors.size).toBe(11);
  });

  it("is refused in one sentence where it is truncated anywhere", async () => {
    for (let length = 0; length < sound.length; length += length < 1100 ? 1 : 97) {
      const error = await open(sound.slice(0, length)).catch((thrown: unknown) => thrown);
      expect(error, `${length} bytes`).toBeInstanceOf(UserError);
      expect((error as Error).message).toMatch(/^model\.gguf is (truncated|no GGUF)/);
    }
  });

  it("is read or refused in one sentence, whatever byte of its header is changed", async () => {
    let refused = 0;
    for (let at = 0; at < 1100; at++) {
      for (const value of [0, 1, 0x7f, 0xff, sound[at]! ^ 0x10]) {
        const bytes = changed((_, all) => all.fill(value, at, at + 1));
        const error = await open(bytes).then(
          () => undefined,
          (thrown: unknown) => thrown,
        );
        if (error === undefined) continue;
        refused++;
        expect(error, `byte ${at} = ${value}: ${error}`).toBeInstanceOf(UserError);
        expect((error as Error).message.length).toBeLessThan(400);
      }
    }
    expect(refused).toBeGreaterThan(500);
  });

  const lies: [what: string, bytes: () => Uint8Array, message: RegExp][] = [
    ["is something else", () => changed((view) => view.setUint8(0, 0x50)), /is not a GGUF file/],
    [
      "is of another version",
      () => changed((view) => view.setUint32(4, 1, true)),
      /is of version 1; convert the model/,
    ],
    ["is big-endian", () => changed((view) => view.setUint32(4, 3, false)), /it is big-endian/],
    [
      "claims a billion billion tensors",
      () => changed((view) => view.setBigUint64(8, 10n ** 18n, true)),
      /claims 1000000000000000000 tensors, more than any model has/,
    ],
    [
      "claims more tensors than fit",
      () => changed((view) => view.setBigUint64(8, 10_000n, true)),
      /claims 10000 tensors, but only/,
    ],
    [
      "claims a text longer than the file",
      () => changed((view) => view.setBigUint64(placeOf("blocks of each").begin - 8, 2n ** 40n, true)),
      /"general.name" needs 1099511627776 bytes/,
    ],
    [
      "claims a list longer than the file",
      () => changed((view) => view.setBigUint64(placeOf("test.numbers").end + 8, 1_000_000n, true)),
      /claims 1000000 items of "test.numbers", but only/,
    ],
    [
      "has lists of lists",
      () => changed((view) => view.setUint32(placeOf("test.numbers").end + 4, 9, true)),
      /"test.numbers" is a list of lists/,
    ],
    [
      "has a value of an unknown type",
      () => changed((view) => view.setUint32(placeOf("test.int64").end, 77, true)),
      /"test.int64" has type 77/,
    ],
    [
      "has a key twice",
      () => changed((_, bytes) => bytes.set(Buffer.from("test.texts"), placeOf("test.int64").begin)),
      /it has "test.texts" twice/,
    ],
    [
      "has a tensor of a type that is not supported",
      () => changed((view) => view.setUint32(placeOf("Q8_0").end + 4 + 16, 20, true)),
      /model\.gguf: tensor "Q8_0" has type IQ4_NL, which is not supported \(supported: F32, .*\); use the model/,
    ],
    [
      "has a tensor of a type that nobody knows",
      () => changed((view) => view.setUint32(placeOf("Q8_0").end + 4 + 16, 5000, true)),
      /has type 5000, which is not supported/,
    ],
    [
      "has a tensor larger than the file",
      () => changed((view) => view.setBigUint64(placeOf("Q8_0").end + 4 + 8, 2n ** 63n, true)),
      /is truncated: tensor "Q8_0" ends at byte/,
    ],
    [
      "has a tensor of five axes",
      () => changed((view) => view.setUint32(placeOf("Q8_0").end, 5, true)),
      /"Q8_0" has 5 axes/,
    ],
    [
      "has rows that are no whole blocks",
      () => changed((view) => view.setBigUint64(placeOf("Q8_0").end + 4, 63n, true)),
      /has rows of 63 numbers, which is not a multiple of 32/,
    ],
    [
      "has tensors over each other",
      () => changed((view) => view.setBigUint64(placeOf("Q8_0").end + 4 + 20, 0n, true)),
      /begins at byte 0 of the data, before the previous tensor ends/,
    ],
  ];
  it.each(lies)("is refused where it %s", async (_, bytes, message) => {
    const error = await open(bytes()).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(UserError);
    expect((error as Error).message).toMatch(message);
  });

  it("does not give a tensor that it does not have, or that is gone meanwhile", async () => {
    const file = await open(sound);
    await expect(file.read("x")).rejects.toThrow(/has no tensor "x"/);
    const shrinking = await openGguf({
      ...bytesSource("model.gguf", sound),
      read: (start, end) => bytesSource("", sound.slice(0, start === 0 ? sound.length : 3000)).read(start, end),
    });
    await expect(shrinking.read("Q6_K")).rejects.toThrow(/is truncated: tensor "Q6_K" needs/);
  });
});

describe("what a stranger's GGUF claims", () => {
  it("long lists of bytes take their own size of memory", async () => {
    const count = 2 ** 22;
    const lists = 15;
    const one = Buffer.alloc(8 + 2 + 4 + 4 + 8 + count);
    one.writeBigUInt64LE(2n, 0);
    one.writeUInt32LE(9, 10);
    one.writeUInt32LE(0, 14);
    one.writeBigUInt64LE(BigInt(count), 18);
    const entries = Array.from({ length: lists }, (_, i) => {
      const entry = Buffer.from(one);
      entry.write(String(10 + i), 8);
      return entry;
    });
    const start = Buffer.alloc(24);
    start.write("GGUF");
    start.writeUInt32LE(3, 4);
    start.writeBigUInt64LE(BigInt(lists), 16);
    const bytes = new Uint8Array(Buffer.concat([start, ...entries, Buffer.alloc(64)]));
    const { metadata } = await open(bytes);
    const sizes = [...metadata.values()].map((value) => (ArrayBuffer.isView(value) ? value.byteLength : Number.NaN));
    expect(sizes).toEqual(Array(lists).fill(count));
  });

  it.each([
    ["one of 20,000 letters", ["a".repeat(20_000)]],
    ["500 within each other", Array.from({ length: 500 }, (_, i) => "a".repeat(i + 1))],
  ])("pieces of a tokenizer, %s, are refused or read in time", (_, pieces) => {
    const file = {
      location: "model.gguf",
      metadata: new Map<string, unknown>([
        ["general.architecture", "llama"],
        ["tokenizer.ggml.model", "llama"],
        ["tokenizer.ggml.tokens", pieces],
        ["tokenizer.ggml.scores", new Float32Array(pieces.length)],
      ]),
      tensors: new Map(),
    } as unknown as Gguf;
    expect(() => tokenizerOf(file)).toThrow(/model.gguf is damaged: pieces of its tokenizer are longer/);
  });
});
