import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fillAttentionMask, fillHiddenMask, type MaskIdentity } from "../../../src/training/dropout/dropout.ts";
import { MaskMemory } from "../../../src/training/dropout/mask-memory.ts";
import { GOLDEN, mix } from "../../../src/training/dropout/mix.ts";

const identity: MaskIdentity = { seed: 42, step: 7, layer: 3, probability: 0.1 };

/** Mask `[rows, width]` of several examples in turn, each with positions from 0. */
function hidden(where: MaskIdentity, rows: [example: number, position: number][], width: number): Float32Array {
  const memory = new MaskMemory();
  const [out] = memory.arrays([rows.length * width]) as [Float32Array];
  const column = (i: 0 | 1) => Int32Array.from(rows, (row) => row[i]);
  fillHiddenMask(memory, out, where, column(0), column(1), width);
  return out;
}

function attention(where: MaskIdentity, examples: number[], heads: number, length: number): Float32Array {
  const memory = new MaskMemory();
  const [out] = memory.arrays([examples.length * heads * length * length]) as [Float32Array];
  const sides = { lengths: examples.map(() => length), padded: length };
  fillAttentionMask(memory, out, where, examples, { heads, queries: sides, keys: sides });
  return out;
}

const index = fc.integer({ min: 0, max: 100_000 });

describe("a mask depends only on its identity and its position", () => {
  test("hidden: rows in any batch and order, and narrower widths", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(index, fc.nat(511)), { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 1, max: 33 }),
        (rows, width) => {
          const batch = hidden(identity, rows, width);
          rows.forEach((row, r) => {
            expect(batch.subarray(r * width, (r + 1) * width)).toEqual(hidden(identity, [row], 40).subarray(0, width));
          });
        },
      ),
    );
  });

  test("attention: examples in any batch, padded to any length, with any number of heads", () => {
    const [most, longest] = [4, 19];
    fc.assert(
      fc.property(
        fc.array(index, { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 1, max: most }),
        fc.integer({ min: 1, max: longest }),
        (examples, heads, length) => {
          const batch = attention(identity, examples, heads, length);
          examples.forEach((example, e) => {
            const alone = attention(identity, [example], most, longest);
            for (let row = 0; row < heads * length; row++) {
              const [start, head, query] = [
                (e * heads * length + row) * length,
                Math.floor(row / length),
                row % length,
              ];
              const startAlone = (head * longest + query) * longest;
              expect(batch.subarray(start, start + length)).toEqual(alone.subarray(startAlone, startAlone + length));
            }
          });
        },
      ),
    );
  });

  test("masks of one draw do not overlap, and grow with the batch", () => {
    const memory = new MaskMemory();
    for (const rows of [3, 40_000]) {
      const [first, second] = memory.arrays([3 * rows, 3]) as [Float32Array, Float32Array];
      second.fill(7);
      fillHiddenMask(
        memory,
        first,
        identity,
        new Uint32Array(rows),
        Uint32Array.from({ length: rows }, (_, i) => i),
        3,
      );
      expect([...second]).toEqual([7, 7, 7]);
      expect(first.subarray(6, 9)).toEqual(hidden(identity, [[0, 2]], 3));
    }
    const [scores, next] = memory.arrays([2 * 2 * 19 * 19, 3]) as [Float32Array, Float32Array];
    next.fill(7);
    const sides = { lengths: [19, 19], padded: 19 };
    fillAttentionMask(memory, scores, identity, [0, 1], { heads: 2, queries: sides, keys: sides });
    expect([...next]).toEqual([7, 7, 7]);
  });

  test("the memory of masks grows only for larger ones", () => {
    const memory = new MaskMemory();
    const bytesFor = (size: number): number => memory.arrays([size])[0]!.buffer.byteLength;
    const bytes = bytesFor(40_000);
    expect([bytesFor(40_000), bytesFor(3), bytesFor(40_000)]).toEqual([bytes, bytes, bytes]);
    expect(bytesFor(80_000)).toBeGreaterThan(bytes);
  });

  test("each hash of a row's key and a counter serves two neighbours", () => {
    const [seed, step, layer] = [identity.seed, identity.step, identity.layer];
    const key = mix(mix(mix(mix(mix(seed) + step) + layer) + 5) + 9);
    const kept = Math.fround(1 / 0.9);
    const expected = Array.from({ length: 21 }, (_, i) => {
      const draws = mix((key + Math.imul(i >> 1, GOLDEN)) | 0, mix(key ^ GOLDEN));
      return (i % 2 === 0 ? draws & 0xffff : draws >>> 16) < Math.round(0.1 * 2 ** 16) ? 0 : kept;
    });
    expect([...hidden(identity, [[5, 9]], 21)]).toEqual(expected);
    expect(expected).toContain(0);
  });
});

describe("draws", () => {
  const rows = Array.from({ length: 512 }, (_, row): [number, number] => [row >> 6, row & 63]);
  const width = 384;

  test.each([0, 0.1, 0.5, 0.9])("keep 1 - %d of the units, scaled by its inverse", (probability) => {
    const mask = hidden({ ...identity, probability }, rows, width);
    const kept = mask.filter((value) => value !== 0);
    expect(new Set(kept)).toEqual(new Set([Math.fround(1 / (1 - probability))]));
    const deviation = Math.sqrt(probability * (1 - probability) * mask.length);
    expect(Math.abs(kept.length - (1 - probability) * mask.length)).toBeLessThanOrEqual(3 * deviation);
  });

  // The correlation of independent bits is normal with variance 1/n; 4.5 deviations are exceeded in 1 of 150,000 cases.
  function expectUncorrelated(a: Float32Array, b: Float32Array) {
    const n = a.length;
    let [keptA, keptB, both] = [0, 0, 0];
    for (let i = 0; i < n; i++) {
      if (a[i] !== 0) keptA++;
      if (b[i] !== 0) keptB++;
      if (a[i] !== 0 && b[i] !== 0) both++;
    }
    const covariance = n * both - keptA * keptB;
    const correlation = covariance / Math.sqrt(keptA * (n - keptA) * keptB * (n - keptB));
    expect(Math.abs(correlation) * Math.sqrt(n)).toBeLessThan(4.5);
  }

  describe.each([0.1, 0.5])("are independent (probability %d)", (probability) => {
    const where = { ...identity, probability };
    const mask = hidden(where, rows, width);

    test("between neighbouring units and rows", () => {
      for (const lag of [1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64, 128, width, 2 * width, 64 * width]) {
        expectUncorrelated(mask.subarray(lag), mask.subarray(0, mask.length - lag));
      }
    });

    test("between seeds, steps and layers", () => {
      for (const offset of [1, 2, 3, 4, 8, 16, 256, 65536]) {
        for (const name of ["seed", "step", "layer"] as const) {
          expectUncorrelated(mask, hidden({ ...where, [name]: where[name] + offset }, rows, width));
        }
      }
      expectUncorrelated(mask, hidden({ ...where, seed: where.step, step: where.seed }, rows, width));
      expectUncorrelated(mask, hidden({ ...where, step: where.layer, layer: where.step }, rows, width));
    });

    test("between examples, also if example and position are swapped", () => {
      for (const offset of [1, 2, 8, 1000, 65536]) {
        expectUncorrelated(
          mask,
          hidden(
            where,
            rows.map(([example, position]) => [example + offset, position]),
            width,
          ),
        );
      }
      const apart = rows.map(([example, position]): [number, number] => [example + 100, position]);
      const swapped = apart.map(([example, position]): [number, number] => [position, example]);
      expectUncorrelated(hidden(where, apart, width), hidden(where, swapped, width));
    });

    test("between heads, queries and keys", () => {
      const length = 64;
      const plane = length * length;
      const probabilities = attention(where, [0, 1, 2, 3], 12, length);
      for (const lag of [1, 2, 3, length, 2 * length, plane, 2 * plane, 12 * plane]) {
        expectUncorrelated(probabilities.subarray(lag), probabilities.subarray(0, probabilities.length - lag));
      }
    });
  });

  test("all patterns of eight neighbours are equally frequent", () => {
    const mask = hidden({ ...identity, probability: 0.5 }, rows, width);
    const counts = new Float64Array(256);
    for (let i = 0; i < mask.length; i += 8) {
      let pattern = 0;
      for (let bit = 0; bit < 8; bit++) pattern |= Number(mask[i + bit] !== 0) << bit;
      counts[pattern]!++;
    }
    const expected = mask.length / 8 / 256;
    const chiSquare = counts.reduce((total, count) => total + (count - expected) ** 2 / expected, 0);
    // 255 degrees of freedom: mean 255, deviation 22.6.
    expect(chiSquare).toBeGreaterThan(255 - 4 * 22.6);
    expect(chiSquare).toBeLessThan(255 + 4 * 22.6);
  });
});

test.each([1, -0.1, Number.NaN])("refuses a probability of %d", (probability) => {
  expect(() => hidden({ ...identity, probability }, [[0, 0]], 2)).toThrow(`Dropout: the probability is ${probability}`);
});
