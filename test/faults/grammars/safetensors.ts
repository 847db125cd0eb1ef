import fc from "fast-check";
import { type Grammar, size, uint64, word } from "./parts.ts";

const stored = fc.record({
  dtype: fc.constantFrom("F32", "F16", "BF16", "I64", "F8_E4M3", "BOOL", "X"),
  shape: fc.array(size, { maxLength: 4 }),
  data_offsets: fc.oneof(fc.tuple(size, size), fc.array(size, { maxLength: 3 })),
});
/** Tensors one after the other, as the format wants them. */
const inOrder = fc.array(fc.array(fc.nat(4), { maxLength: 3 }), { maxLength: 6 }).map((shapes) => {
  let at = 0;
  return Object.fromEntries(
    shapes.map((shape, i) => {
      const begin = at;
      at += 4 * shape.reduce((product, each) => product * each, 1);
      return [`tensor ${i}`, { dtype: "F32", shape, data_offsets: [begin, at] }];
    }),
  );
});
export const safetensors: Grammar = fc
  .record({
    header: fc.oneof(
      inOrder,
      fc
        .tuple(inOrder, fc.dictionary(fc.oneof(word, fc.constant("__metadata__")), stored))
        .map(([a, b]) => ({ ...a, ...b })),
      fc.jsonValue(),
      fc.integer({ min: 1, max: 20_000 }).map((depth) => ({ deep: depth })),
    ),
    claims: fc.oneof({ weight: 5, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: size }),
    data: fc.nat(2048),
  })
  .map(({ header, claims, data }) => {
    const deep = (header as { deep?: number } | null)?.deep;
    const json = Buffer.from(typeof deep === "number" ? "[".repeat(deep) + "]".repeat(deep) : JSON.stringify(header));
    const last = Object.values((header ?? {}) as Record<string, { data_offsets?: number[] }>).at(-1)?.data_offsets?.[1];
    const length = typeof last === "number" && last < 2 ** 16 && data % 4 ? last : data;
    return Buffer.concat([uint64(claims ?? json.length), json, Buffer.alloc(Math.max(0, length))]);
  });
