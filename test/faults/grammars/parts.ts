import fc from "fast-check";

/** Files of strangers made by their formats' grammars: well-formed to the reader, and made to hurt. */
export type Grammar = fc.Arbitrary<Uint8Array>;

export const text = (of: fc.Arbitrary<unknown>): Grammar => of.map((value) => Buffer.from(JSON.stringify(value)));
export const maybe = <T>(of: fc.Arbitrary<T>) => fc.option(of, { nil: undefined, freq: 4 });
/** Sizes that are fine, at an edge, or absurd. */
export const size = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 64 }) },
  { weight: 1, arbitrary: fc.constantFrom(-1, 0.5, 2 ** 16, 2 ** 31 - 1, 2 ** 31, 4e9, 2 ** 53, 1e308) },
);

/** Pieces of words that tokenizers know, or stumble over. */
export const word = fc.constantFrom(
  "",
  "a",
  "e",
  "ee",
  "the",
  " the",
  "▁",
  "##s",
  "Ġ",
  "[UNK]",
  "<s>",
  "\u0301",
  "x".repeat(5000),
);

/** Little-endian numbers, as GGUF and safetensors have them. */
export const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
};
export const uint64 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(Math.trunc(Math.min(value, 2 ** 63)))));
  return bytes;
};
export const named = (value: string): Buffer => Buffer.concat([uint64(Buffer.byteLength(value)), Buffer.from(value)]);
export const float32 = (value: number): Buffer => Buffer.from(Float32Array.of(value).buffer);
