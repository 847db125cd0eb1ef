import { mkdtemp, readFile, rm, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { fileSource } from "../../../src/checkpoints/file-source-node.ts";
import { configOf } from "../../../src/checkpoints/gguf/architectures.ts";
import { type Gguf, openGguf } from "../../../src/checkpoints/gguf/gguf.ts";
import { tokenizerOf } from "../../../src/checkpoints/gguf/tokenizer.ts";
import { openSafetensorsFile } from "../../../src/checkpoints/safetensors-node.ts";
import { UserError } from "../../../src/errors.ts";
import { bytesSource } from "../../../src/files/byte-source.ts";
import { quantizeGroups } from "../../../src/graph/quantize.ts";
import { float32 } from "../../../src/graph/tensor.ts";

const FIXTURES = fileURLToPath(new URL("../../fixtures/gguf/", import.meta.url));
const sound = new Uint8Array(await readFile(`${FIXTURES}blocks.gguf`));

const open = (bytes: Uint8Array): Promise<Gguf> => openGguf(bytesSource("model.gguf", bytes));

/** The file with some bytes changed. */
function changed(change: (view: DataView, bytes: Uint8Array) => void): Uint8Array {
  const bytes = sound.slice();
  change(new DataView(bytes.buffer), bytes);
  return bytes;
}

/** Start and end of a text in the file. */
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

  it("reads blocks again from the file on the disk, which must not change", async () => {
    const folder = await mkdtemp(join(tmpdir(), "aflora-gguf-"));
    const path = join(folder, "model.gguf");
    await writeFile(path, sound);
    const onDisk = await openGguf(await fileSource(path));
    const blocks = (await onDisk.readBlocks("Q4_1"))!;
    expect(blocks()).toEqual((await (await open(sound)).readBlocks("Q4_1"))!());
    await utimes(path, new Date(), new Date(0));
    expect(blocks).toThrow(/model\.gguf changed since it was opened; load it again/);
    await truncate(path, onDisk.tensors.get("Q4_1")!.end - 1);
    expect(blocks).toThrow(/model\.gguf is truncated: tensor "Q4_1" needs/);
    await rm(folder, { recursive: true });
    expect(blocks).toThrow(UserError);
  });

  it("holds Q4_0 blocks that --base int4 keeps unchanged", async () => {
    const file = await open(sound);
    const { data } = await file.read("Q4_0");
    const { packed, scales } = quantizeGroups(data);
    const again = data.map((_, i) => {
      const [group, inGroup] = [Math.floor(i / 32), i % 32];
      const byte = packed[16 * group + (inGroup % 16)]!;
      return scales[group]! * ((inGroup < 16 ? byte & 15 : byte >> 4) - 8);
    });
    expect(again.map((value) => value + 0)).toEqual(data.map((value) => value + 0));
    // After each block's scale of two bytes.
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

  it("is read in chunks if its header is long", async () => {
    // A header of 5 MB, because of a long general name.
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

  it("is rejected in one sentence if it is truncated anywhere", async () => {
    for (let length = 0; length < sound.length; length += length < 1100 ? 1 : 97) {
      const error = await open(sound.slice(0, length)).catch((thrown: unknown) => thrown);
      expect(error, `${length} bytes`).toBeInstanceOf(UserError);
      expect((error as Error).message).toMatch(/^model\.gguf is (truncated|no GGUF)/);
    }
  });

  it("is read or rejected in one sentence if any byte of its header is changed", async () => {
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
  it.each(lies)("is rejected if it %s", async (_, bytes, message) => {
    const error = await open(bytes()).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(UserError);
    expect((error as Error).message).toMatch(message);
  });

  it("reports a tensor that does not exist, or not any more", async () => {
    const file = await open(sound);
    await expect(file.read("x")).rejects.toThrow(/has no tensor "x"/);
    const shrinking = await openGguf({
      ...bytesSource("model.gguf", sound),
      read: (start, end) => bytesSource("", sound.slice(0, start === 0 ? sound.length : 3000)).read(start, end),
    });
    await expect(shrinking.read("Q6_K")).rejects.toThrow(/is truncated: tensor "Q6_K" needs/);
  });
});

/** A file with this metadata, under its architecture's prefix, and tensors. */
function fileOf(
  metadata: Readonly<Record<string, unknown>>,
  tensors: Readonly<Record<string, readonly number[]>> = {},
) {
  const all = new Map(
    Object.entries(tensors).map(([name, data]) => [name, float32([data.length], Float32Array.from(data))]),
  );
  return {
    location: "model.gguf",
    metadata: new Map(Object.entries({ "general.architecture": "llama", ...metadata })),
    tensors: all,
    read: async (name: string) => all.get(name)!,
  } as unknown as Gguf;
}

describe("a GGUF file's tokenizer", () => {
  const pieces = {
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", "a", "b", "ab"],
    "tokenizer.ggml.scores": Float32Array.of(0, 0, 0, -1, -2, -3),
    "tokenizer.ggml.unknown_token_id": 0,
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
  };
  const surrounding = (settings: object): string[][] | null => {
    const { json } = tokenizerOf(fileOf({ ...pieces, ...settings }));
    const { post_processor: template } = json() as { post_processor: null | Record<"single" | "pair", object[]> };
    if (!template) return null;
    const partsOf = (parts: object[]) => parts.flatMap((part) => Object.values(part).map(({ id }) => id));
    expect(Object.keys((template as never as { special_tokens: object }).special_tokens)).toEqual([
      ...new Set(partsOf(template.single).filter((id) => id !== "A")),
    ]);
    return [partsOf(template.single), partsOf(template.pair)];
  };

  it.each([
    [
      {},
      [
        ["<s>", "A"],
        ["<s>", "A", "<s>", "B"],
      ],
    ],
    [
      { add_eos_token: true },
      [
        ["<s>", "A", "</s>"],
        ["<s>", "A", "</s>", "<s>", "B", "</s>"],
      ],
    ],
    [
      { add_bos_token: false, add_eos_token: true },
      [
        ["A", "</s>"],
        ["A", "</s>", "B", "</s>"],
      ],
    ],
    [{ add_bos_token: false }, null],
    // Ids of tokens that the file does not have.
    [
      { add_eos_token: true, bos_token_id: 6 },
      [
        ["A", "</s>"],
        ["A", "</s>", "B", "</s>"],
      ],
    ],
    [{ add_eos_token: true, bos_token_id: 6, eos_token_id: 6 }, null],
  ])("adds the special tokens of %j to texts", (settings, expected) => {
    const named = Object.fromEntries(Object.entries(settings).map(([key, value]) => [`tokenizer.ggml.${key}`, value]));
    expect(surrounding(named)).toEqual(expected);
  });

  it("merges pieces with the best scores first", () => {
    const tokens = ["a", "b", "c", "ab", "bc", "abc", "d"];
    const scores = Float32Array.of(0, 0, 0, -2, -1, -3, -9);
    const { json } = tokenizerOf(
      fileOf({ ...pieces, "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.scores": scores }),
    );
    const { merges } = (json() as { model: { merges: string[][] } }).model;
    expect(merges).toEqual([
      ["b", "c"],
      ["a", "b"],
      ["ab", "c"],
      ["a", "bc"],
    ]);
  });
});

describe("Llama 3's scaling of positions in GGUF", () => {
  const settings = Object.entries({
    ...{ block_count: 1, context_length: 64, embedding_length: 32, feed_forward_length: 8 },
    "attention.head_count": 4,
    "rope.freq_base": 500_000,
  }).map(([key, value]) => [`llama.${key}`, value]);
  const scaledBy = (factors: readonly number[]) =>
    configOf(fileOf(Object.fromEntries(settings), { "token_embd.weight": [1], "rope_freqs.weight": factors }));
  /** As transformers computes them for a head of 16 features: pairs with many rotations stay, those with few are slowed. */
  const factors = Array.from({ length: 8 }, (_, pair) => {
    const turns = 8192 / (2 * Math.PI * 500_000 ** (pair / 8));
    if (turns > 4) return 1;
    return turns < 1 ? 32 : 1 / ((1 - (turns - 1) / 3) / 32 + (turns - 1) / 3);
  });

  it("is recovered from its factors", async () => {
    expect(new Set(factors).size).toBeGreaterThan(2);
    expect((await scaledBy(factors)).rope_scaling).toEqual({
      ...{ rope_type: "llama3", factor: 32, low_freq_factor: 1, high_freq_factor: 4 },
      original_max_position_embeddings: 8192,
    });
  });

  it("is rejected if one of them differs", async () => {
    for (const pair of factors.keys()) {
      const others = factors.with(pair, factors[pair]! * 1.002);
      await expect(scaledBy(others), String(pair)).rejects.toThrow(
        /scales its positions in a way other than Llama 3's/,
      );
    }
  });
});

describe("claims of an untrusted GGUF file", () => {
  it("long lists of bytes take only their size in memory", async () => {
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
  ])("pieces of a tokenizer, %s, are rejected or read in time", (_, pieces) => {
    const file = fileOf({
      "tokenizer.ggml.model": "llama",
      "tokenizer.ggml.tokens": pieces,
      "tokenizer.ggml.scores": new Float32Array(pieces.length),
    });
    expect(() => tokenizerOf(file).json()).toThrow(/model.gguf is damaged: pieces of its tokenizer are longer/);
  });
});
