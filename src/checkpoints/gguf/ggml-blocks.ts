import type { NumberBlocks } from "../../graph/number-blocks.ts";
import { decodeHalf } from "../stored-values.ts";
import { GGML_TYPES, type GgmlType } from "./ggml-types.ts";

/** Numbers of a block of the types that are taken as they are. */
const VALUES = 32;

/** Where a block's parts lie: its scale first, its numbers last. */
interface Layout extends Pick<NumberBlocks, "bits"> {
  /** Whether a least number follows the scale. */
  hasLeast?: true;
}

const LAYOUTS: Partial<Record<GgmlType, Layout>> = {
  Q4_0: { bits: 4 },
  Q4_1: { bits: 4, hasLeast: true },
  Q8_0: { bits: 8 },
};

/** Stored blocks with their parts by themselves; undefined of types that are not taken as they are. */
export function numberBlocks(type: GgmlType, stored: Uint8Array): NumberBlocks | undefined {
  const layout = LAYOUTS[type];
  if (!layout) return undefined;
  const { bits, hasLeast } = layout;
  const { bytes } = GGML_TYPES[type];
  const count = stored.length / bytes;
  const size = (VALUES * bits) / 8;
  const half = (at: number): number => decodeHalf(stored[at]! | (stored[at + 1]! << 8));
  const numbers = new Uint8Array(count * size);
  const scales = new Float32Array(count);
  const leasts = hasLeast && new Float32Array(count);
  for (let block = 0; block < count; block++) {
    const at = block * bytes;
    scales[block] = half(at);
    if (leasts) leasts[block] = half(at + 2);
    numbers.set(stored.subarray(at + bytes - size, at + bytes), block * size);
  }
  return { bits, numbers: bits === 8 ? new Int8Array(numbers.buffer) : numbers, scales, leasts };
}
