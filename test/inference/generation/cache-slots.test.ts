import { expect, test } from "vitest";
import { asFloat32 } from "../../../src/graph/tensor.ts";
import { CacheSlots } from "../../../src/inference/generation/cache-slots.ts";

const LAYOUT = [
  { input: "keys", heads: 2, size: 3 },
  { input: "values", heads: 1, size: 2 },
];
/** Value at one position of a slot, different for each head and index. */
const numberOf = (layout: number, slot: number, head: number, position: number, at: number): number =>
  1e6 * layout + 1e5 * slot + 1e4 * head + 10 * position + at;

function written(starts: readonly number[]): Float32Array {
  const numbers = LAYOUT.flatMap(({ heads, size }, layout) =>
    starts.flatMap((position, slot) =>
      Array.from({ length: heads * size }, (_, i) => numberOf(layout, slot, Math.floor(i / size), position, i % size)),
    ),
  );
  return Float32Array.from(numbers);
}

test("slots keep their values as they grow, within their memory and beyond it", () => {
  const slots = new CacheSlots(LAYOUT);
  slots.reserve(2, 1, []);
  const lengths = [0, 0];
  // Slots of 32, 64, … positions use the same memory up to 128; a third slot needs more.
  for (let position = 0; position < 300; position++) {
    if (position === 40) {
      slots.reserve(3, position, lengths);
      lengths.push(0);
    }
    slots.reserve(lengths.length, Math.max(...lengths) + 1, lengths);
    slots.write(0, lengths, 1, written(lengths));
    lengths.forEach((length, slot) => {
      lengths[slot] = length + 1;
    });
  }
  const tensors = slots.tensors(0, 3);
  LAYOUT.forEach(({ input, heads, size }, layout) => {
    const { data, shape } = asFloat32(tensors[input]!);
    expect(shape).toEqual([3, heads, 320, size]);
    lengths.forEach((length, slot) => {
      for (let head = 0; head < heads; head++) {
        const start = (slot * heads + head) * 320 * size;
        const own = Array.from({ length: length * size }, (_, i) =>
          numberOf(layout, slot, head, Math.floor(i / size), i % size),
        );
        expect([...data.subarray(start, start + own.length)]).toEqual(own);
      }
    });
  });
});
