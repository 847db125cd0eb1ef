import { expect, test } from "vitest";
import { hasNumberBlocks, numberBlocks } from "../../../src/checkpoints/gguf/ggml-blocks.ts";
import { GGML_TYPES } from "../../../src/checkpoints/gguf/ggml-types.ts";
import { packBytes, packNibbles } from "../../../src/graph/number-blocks.ts";
import { q4_0, q4_1 } from "../../../src/graph/ops/blocks-q4.ts";
import { q8_0 } from "../../../src/graph/ops/blocks-q8.ts";
import type { LayerFormat } from "../../../src/graph/ops/weight-format.ts";
import { asFloat32, type Tensor } from "../../../src/graph/tensor.ts";

const [ROWS, WIDTH] = [3, 64];

/** Stored blocks with small scales and minima. */
function stored(type: "Q4_0" | "Q4_1" | "Q8_0"): Uint8Array<ArrayBuffer> {
  const { bytes } = GGML_TYPES[type];
  const all = Uint8Array.from({ length: ((ROWS * WIDTH) / 32) * bytes }, (_, i) => (i * 37 + (i >> 3)) & 255);
  for (let at = 0; at < all.length; at += bytes) {
    all[at + 1] = 0x21 + (at % 5);
    if (type === "Q4_1") all[at + 3] = 0xa1 + (at % 5);
  }
  return all;
}

const blocksOf = (type: "Q4_0" | "Q4_1" | "Q8_0", bytes: Uint8Array) =>
  numberBlocks(type, bytes.length, (start, end) => bytes.subarray(start, end));

const FORMATS: Record<"Q4_0" | "Q4_1" | "Q8_0", LayerFormat> = { Q4_0: q4_0, Q4_1: q4_1, Q8_0: q8_0 };

test.each(["Q4_0", "Q4_1", "Q8_0"] as const)("reads blocks of %s without decoding", (type) => {
  const format = FORMATS[type];
  const bytes = stored(type);
  const parts = format.fromBlocks!(blocksOf(type, bytes), [ROWS, WIDTH])!;
  const taken = format.dequantize(parts as Record<string, Tensor>, [ROWS, WIDTH]).data;
  const numbers = GGML_TYPES[type].decode(bytes);
  expect(new Set(numbers).size).toBeGreaterThan(50);
  taken.forEach((value, i) => {
    expect(value).toBeCloseTo(numbers[i]!, 6);
  });
});

test("reads many blocks in chunks", () => {
  const some = stored("Q8_0");
  const bytes = new Uint8Array(34 * (2 ** 18 + 3)).map((_, i) => some[i % some.length]!);
  const pieces: number[] = [];
  const { numbers, scales } = numberBlocks("Q8_0", bytes.length, (start, end) => {
    pieces.push(end - start);
    return bytes.subarray(start, end);
  });
  expect(pieces.length).toBeGreaterThan(2);
  expect(Math.max(...pieces)).toBeLessThan(2 ** 23);
  const last = GGML_TYPES.Q8_0.decode(bytes.slice(-34 * 3));
  expect([...last]).toEqual(Array.from(numbers.slice(-96), (each, i) => Math.fround(each * scales.at(-3 + (i >> 5))!)));
});

test("blocks without minima convert to blocks with them, but not the reverse", () => {
  const blocks = blocksOf("Q4_0", stored("Q4_0"));
  const asQ4_1 = q4_1.fromBlocks!(blocks, [ROWS, WIDTH])!;
  expect(asFloat32(asQ4_1.shifts).data.every((shift) => shift === 0)).toBe(true);
  expect(q4_0.fromBlocks!(blocksOf("Q4_1", stored("Q4_1")), [ROWS, WIDTH])).toBeUndefined();
  expect(q8_0.fromBlocks!(blocks, [ROWS, WIDTH])).toBeUndefined();
  expect(hasNumberBlocks("Q4_K")).toBe(false);
});

test("rounds numbers to the nearest ones of their block", () => {
  const values = Float32Array.from({ length: 64 }, (_, i) => (i < 32 ? Math.sin(i) : 0));
  const { numbers, scales } = packBytes(values);
  values.forEach((value, i) => {
    expect(Math.abs(numbers[i]! * scales[i >> 5]! - value)).toBeLessThanOrEqual(scales[0]! / 2 + 1e-7);
  });
  const nibbles = packNibbles(values);
  const parts = q4_1.fromBlocks!(nibbles, [2, 32])!;
  q4_1.dequantize(parts, [2, 32]).data.forEach((value, i) => {
    expect(Math.abs(value - values[i]!)).toBeLessThanOrEqual(nibbles.scales[i >> 5]! / 2 + 1e-6);
  });
});
