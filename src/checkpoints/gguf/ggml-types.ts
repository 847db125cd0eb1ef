import { decodeHalf, decodeStored } from "../stored-values.ts";

/** Supported types, by ggml's names. */
export type GgmlType =
  | ("F32" | "F16" | "BF16")
  | ("Q4_0" | "Q4_1" | "Q5_0" | "Q5_1" | "Q8_0")
  | ("Q4_K" | "Q5_K" | "Q6_K");

/** A storage type of ggml: blocks of a fixed number of values, in a fixed number of bytes. */
interface BlockType {
  values: number;
  bytes: number;
  /** Decodes whole blocks. @param stored exactly their bytes, in its own buffer, which the result may share */
  decode(stored: Uint8Array<ArrayBuffer>): Float32Array<ArrayBuffer>;
}

/** Decodes the block that begins at byte `at` into `out`, from index `to`. */
type DecodeBlock = (stored: Uint8Array, at: number, out: Float32Array, to: number) => void;

function blocks(values: number, bytes: number, decodeBlock: DecodeBlock): BlockType {
  return {
    values,
    bytes,
    decode(stored) {
      const out = new Float32Array((stored.length / bytes) * values);
      for (let at = 0, to = 0; at < stored.length; at += bytes, to += values) decodeBlock(stored, at, out, to);
      return out;
    },
  };
}

const single = (dtype: "F32" | "F16" | "BF16", bytes: number): BlockType => ({
  values: 1,
  bytes,
  decode: ({ buffer }) => decodeStored(dtype, buffer) as Float32Array<ArrayBuffer>,
});

const half = (stored: Uint8Array, at: number): number => decodeHalf(stored[at]! | (stored[at + 1]! << 8));

const uint32 = (stored: Uint8Array, at: number): number =>
  stored[at]! | (stored[at + 1]! << 8) | (stored[at + 2]! << 16) | (stored[at + 3]! << 24);

/**
 * Blocks of 32 numbers with a scale: `scale · (q - middle)`, or with a minimum, `scale · q + minimum`. The low nibbles
 * of 16 bytes hold the first q, the high ones the others. A fifth bit of each q precedes these bytes.
 */
function small(bits: 4 | 5, withMinimum: boolean): BlockType {
  const middle = withMinimum ? 0 : 2 ** (bits - 1);
  const highBits = withMinimum ? 4 : 2;
  const low = highBits + (bits === 5 ? 4 : 0);
  return blocks(32, low + 16, (stored, at, out, to) => {
    const scale = half(stored, at);
    // Adding -0 keeps a zero's sign.
    const minimum = withMinimum ? half(stored, at + 2) : -0;
    // Bit i is the fifth bit of number i.
    const fifth = bits === 5 ? uint32(stored, at + highBits) : 0;
    for (let i = 0; i < 16; i++) {
      const byte = stored[at + low + i]!;
      out[to + i] = scale * (((byte & 15) | (((fifth >> i) & 1) << 4)) - middle) + minimum;
      out[to + 16 + i] = scale * (((byte >> 4) | (((fifth >> (16 + i)) & 1) << 4)) - middle) + minimum;
    }
  });
}

/**
 * Blocks of 256 numbers: eight rows of 32, each with a scale and a minimum of 6 bits, which have their own scales.
 * @param fifth whether a fifth bit of each number precedes the others
 */
function large(fifth: boolean): BlockType {
  const low = fifth ? 48 : 16;
  return blocks(256, low + 128, (stored, at, out, to) => {
    const [scales, minima] = [half(stored, at), half(stored, at + 2)];
    for (let row = 0; row < 8; row++) {
      const [a, b, c] = [stored[at + 4 + (row & 3)]!, stored[at + 8 + (row & 3)]!, stored[at + 12 + (row & 3)]!];
      // The first eight bytes hold the upper two bits of the last four rows.
      const scale = scales * (row < 4 ? a & 63 : (c & 15) | ((a >> 6) << 4));
      const minimum = minima * (row < 4 ? b & 63 : (c >> 4) | ((b >> 6) << 4));
      const from = at + low + 32 * (row >> 1);
      const shift = 4 * (row & 1);
      for (let i = 0; i < 32; i++) {
        const high = fifth ? ((stored[at + 16 + i]! >> row) & 1) << 4 : 0;
        out[to + 32 * row + i] = scale * (((stored[from + i]! >> shift) & 15) | high) - minimum;
      }
    }
  });
}

/**
 * The block types of `ggml-common.h`. Decoded numbers are identical, to the bit, to those of the Python package `gguf`.
 */
export const GGML_TYPES: Readonly<Record<GgmlType, BlockType>> = {
  F32: single("F32", 4),
  F16: single("F16", 2),
  BF16: single("BF16", 2),
  Q4_0: small(4, false),
  Q4_1: small(4, true),
  Q5_0: small(5, false),
  Q5_1: small(5, true),
  Q8_0: blocks(32, 34, (stored, at, out, to) => {
    const scale = half(stored, at);
    for (let i = 0; i < 32; i++) out[to + i] = scale * ((stored[at + 2 + i]! << 24) >> 24);
  }),
  Q4_K: large(false),
  Q5_K: large(true),
  /** Four low bits and two high bits of each number, an 8-bit scale for every 16 numbers, and a scale for those. */
  Q6_K: blocks(256, 210, (stored, at, out, to) => {
    const scales = half(stored, at + 208);
    for (let i = 0; i < 256; i++) {
      const [part, row, column] = [i >> 7, (i >> 5) & 3, i & 31];
      const low = (stored[at + 64 * part + 32 * (row & 1) + column]! >> (4 * (row >> 1))) & 15;
      const high = (stored[at + 128 + 32 * part + column]! >> (2 * row)) & 3;
      const scale = (stored[at + 192 + (i >> 4)]! << 24) >> 24;
      out[to + i] = Math.fround(scales * scale) * ((low | (high << 4)) - 32);
    }
  }),
};

/** Names of all ggml types by their codes in files; not all are supported. */
export const GGML_TYPE_NAMES: Readonly<Record<number, string>> = {
  ...["F32", "F16", "Q4_0", "Q4_1", "Q4_2", "Q4_3", "Q5_0", "Q5_1", "Q8_0", "Q8_1"],
  ...Object.fromEntries(
    [
      "Q2_K",
      "Q3_K",
      "Q4_K",
      "Q5_K",
      "Q6_K",
      "Q8_K",
      "IQ2_XXS",
      "IQ2_XS",
      "IQ3_XXS",
      "IQ1_S",
      "IQ4_NL",
      "IQ3_S",
      "IQ2_S",
    ]
      .concat(["IQ4_XS", "I8", "I16", "I32", "I64", "F64", "IQ1_M", "BF16"])
      .map((name, i) => [10 + i, name]),
  ),
  34: "TQ1_0",
  35: "TQ2_0",
  39: "MXFP4",
};
