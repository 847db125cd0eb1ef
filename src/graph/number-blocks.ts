import { GROUP } from "./quantize.ts";

/** Quantised numbers in blocks of 32 along the rows of a matrix, as model files store them. */
export interface NumberBlocks {
  bits: 4 | 8;
  /**
   * Signed bytes, `q · scale`; or 4-bit numbers in pairs: a block's first half is in the low nibbles of its bytes. They
   * are `q · scale + minimum`, or `(q - 8) · scale` without minima.
   */
  numbers: Int8Array<ArrayBuffer> | Uint8Array<ArrayBuffer>;
  /** One scale for each block. */
  scales: Float32Array<ArrayBuffer>;
  minima?: Float32Array<ArrayBuffer> | undefined;
}

/** Quantises whole blocks to 4 bits: 15 steps from a block's minimum to its maximum, as ggml's Q4_1 does. */
export function packNibbles(values: Float32Array): NumberBlocks {
  const half = GROUP / 2;
  const count = values.length / GROUP;
  const [scales, minima] = [new Float32Array(count), new Float32Array(count)];
  const numbers = new Uint8Array(count * half);
  for (let block = 0; block < count; block++) {
    const own = values.subarray(block * GROUP, (block + 1) * GROUP);
    const minimum = Math.min(...own);
    const scale = Math.fround((Math.max(...own) - minimum) / 15);
    const code = (i: number): number => (scale === 0 ? 0 : Math.min(15, Math.round((own[i]! - minimum) / scale)));
    [scales[block], minima[block]] = [scale, minimum];
    for (let i = 0; i < half; i++) numbers[block * half + i] = code(i) | (code(i + half) << 4);
  }
  return { bits: 4, numbers, scales, minima };
}

export function packBytes(values: Float32Array): NumberBlocks {
  const scales = new Float32Array(values.length / GROUP);
  const numbers = new Int8Array(values.length);
  for (let block = 0; block < scales.length; block++) {
    let largest = 0;
    for (let i = 0; i < GROUP; i++) largest = Math.max(largest, Math.abs(values[block * GROUP + i]!));
    // A block of zeros stays zero at any scale.
    const scale = Math.fround(largest / 127) || 1;
    scales[block] = scale;
    for (let i = block * GROUP; i < (block + 1) * GROUP; i++) numbers[i] = Math.round(values[i]! / scale);
  }
  return { bits: 8, numbers, scales };
}
