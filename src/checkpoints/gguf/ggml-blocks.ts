import type { NumberBlocks } from "../../graph/number-blocks.ts";
import { decodeHalf } from "../stored-values.ts";
import { GGML_TYPES, type GgmlType } from "./ggml-types.ts";

const VALUES = 32;

/** Layout of a block: its scale first, its numbers last. */
interface Layout extends Pick<NumberBlocks, "bits"> {
  hasMinimum?: true;
}

const LAYOUTS = {
  Q4_0: { bits: 4 },
  Q4_1: { bits: 4, hasMinimum: true },
  Q8_0: { bits: 8 },
} as const satisfies Partial<Record<GgmlType, Layout>>;

/** Types whose blocks are read without decoding. */
type BlockType = keyof typeof LAYOUTS;

export const hasNumberBlocks = (type: GgmlType): type is BlockType => Object.hasOwn(LAYOUTS, type);

const CHUNK = 2 ** 17;

/**
 * Splits stored blocks into their parts.
 * @param size bytes of all blocks
 * @param read returns the bytes `[start, end)`
 */
export function numberBlocks(
  type: BlockType,
  size: number,
  read: (start: number, end: number) => Uint8Array,
): NumberBlocks {
  const { bits, hasMinimum }: Layout = LAYOUTS[type];
  const { bytes } = GGML_TYPES[type];
  const count = size / bytes;
  const width = (VALUES * bits) / 8;
  const numbers = new Uint8Array(count * width);
  const scales = new Float32Array(count);
  const minima = hasMinimum && new Float32Array(count);
  for (let first = 0; first < count; first += CHUNK) {
    const stored = read(first * bytes, Math.min(count, first + CHUNK) * bytes);
    const half = (at: number): number => decodeHalf(stored[at]! | (stored[at + 1]! << 8));
    for (let at = 0, block = first; at < stored.length; at += bytes, block++) {
      scales[block] = half(at);
      if (minima) minima[block] = half(at + 2);
      numbers.set(stored.subarray(at + bytes - width, at + bytes), block * width);
    }
  }
  return { bits, numbers: bits === 8 ? new Int8Array(numbers.buffer) : numbers, scales, minima };
}
