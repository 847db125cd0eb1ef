import { GROUP } from "./quantize.ts";

/** Numbers as files have them in blocks of 32, one after the other in the rows of a matrix. */
export interface NumberBlocks {
  bits: 4 | 8;
  /**
   * Signed bytes; or numbers of 4 bits, two to a byte, a block's first half in the low halves of its bytes: `q · scale + least`, or without a
   * least number `(q - 8) · scale`.
   */
  numbers: Int8Array<ArrayBuffer> | Uint8Array<ArrayBuffer>;
  /** Of each block. */
  scales: Float32Array<ArrayBuffer>;
  leasts?: Float32Array<ArrayBuffer> | undefined;
}

/** Whole blocks of numbers in 4 bits, from a block's least number to its greatest in 15 steps, as ggml has them. */
export function packNibbles(values: Float32Array): NumberBlocks {
  const half = GROUP / 2;
  const count = values.length / GROUP;
  const [scales, leasts] = [new Float32Array(count), new Float32Array(count)];
  const numbers = new Uint8Array(count * half);
  for (let block = 0; block < count; block++) {
    const own = values.subarray(block * GROUP, (block + 1) * GROUP);
    const least = Math.min(...own);
    const scale = Math.fround((Math.max(...own) - least) / 15);
    const code = (i: number): number => (scale === 0 ? 0 : Math.min(15, Math.round((own[i]! - least) / scale)));
    [scales[block], leasts[block]] = [scale, least];
    for (let i = 0; i < half; i++) numbers[block * half + i] = code(i) | (code(i + half) << 4);
  }
  return { bits: 4, numbers, scales, leasts };
}

/** Whole blocks of numbers in 8 bits. */
export function packBytes(values: Float32Array): NumberBlocks {
  const scales = new Float32Array(values.length / GROUP);
  const numbers = new Int8Array(values.length);
  for (let block = 0; block < scales.length; block++) {
    let most = 0;
    for (let i = 0; i < GROUP; i++) most = Math.max(most, Math.abs(values[block * GROUP + i]!));
    // A block of zeros keeps its zeros at any scale.
    const scale = Math.fround(most / 127) || 1;
    scales[block] = scale;
    for (let i = block * GROUP; i < (block + 1) * GROUP; i++) numbers[i] = Math.round(values[i]! / scale);
  }
  return { bits: 8, numbers, scales };
}
