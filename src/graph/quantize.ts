/** Integers from -127 to 127, with a scale for each row or each column. */
export interface Quantized {
  /** In the layout of the input. */
  values: Int8Array<ArrayBuffer>;
  scales: Float32Array<ArrayBuffer>;
  /** Sum of `values · scales` over each row, or each column. */
  sums: Float32Array<ArrayBuffer>;
}

/**
 * Quantises a matrix `[rows, width]` to 8 bits, symmetrically, with one scale for each row or each column.
 * @param bound largest integer to use
 */
export function quantizeMatrix(
  matrix: Float32Array,
  width: number,
  scaled: "rows" | "columns" = "rows",
  bound = 127,
): Quantized {
  const rows = matrix.length / width;
  const scales = new Float32Array(scaled === "rows" ? rows : width);
  const sums = new Float32Array(scales.length);
  const values = new Int8Array(matrix.length);
  const each = (visit: (i: number, scale: number) => void): void => {
    for (let row = 0, i = 0; row < rows; row++) {
      for (let column = 0; column < width; column++, i++) visit(i, scaled === "rows" ? row : column);
    }
  };
  each((i, scale) => {
    scales[scale] = Math.max(scales[scale]!, Math.abs(matrix[i]!));
  });
  // A row of zeros stays zero at any scale.
  for (let i = 0; i < scales.length; i++) scales[i] = scales[i]! / bound || 1;
  each((i, scale) => {
    values[i] = Math.round(matrix[i]! / scales[scale]!);
    // Sums of integers are exact.
    sums[scale]! += values[i]!;
  });
  for (let i = 0; i < sums.length; i++) sums[i]! *= scales[i]!;
  return { values, scales, sums };
}

export const GROUP = 32;

const nibble = (value: number, scale: number): number => Math.min(7, Math.max(-8, Math.round(value / scale)));

/** Tries four scales and returns the one with the least squared error for a group; never 0. */
function groupScale(group: Float32Array): number {
  let extreme = 0;
  for (const value of group) if (Math.abs(value) > Math.abs(extreme)) extreme = value;
  if (extreme === 0) return 1;
  let [best, least] = [1, Number.POSITIVE_INFINITY];
  // The number farthest from 0 becomes -8 or 7. The second scale is the least-squares fit to the rounded numbers.
  for (const end of [-8, 7]) {
    let scale = Math.fround(extreme / end);
    for (let trial = 0; trial < 2; trial++) {
      let [error, products, squares] = [0, 0, 0];
      for (let i = 0; i < group.length; i++) {
        const [value, whole] = [group[i]!, nibble(group[i]!, scale)];
        error += (value - whole * scale) ** 2;
        products += value * whole;
        squares += whole * whole;
      }
      if (error < least) [best, least] = [scale, error];
      scale = Math.fround(products / squares) || scale;
    }
  }
  return best;
}

/**
 * Quantises numbers to 4 bits in groups of {@link GROUP}; zeros fill the last group. Each is `(q - 8) · scale` with q
 * from 0 to 15. Scales minimise the squared error.
 * @returns q, two to a byte: a group's first half is in the low nibbles of its bytes; and the groups' scales
 */
export function quantizeGroups(values: Float32Array): {
  packed: Uint8Array<ArrayBuffer>;
  scales: Float32Array<ArrayBuffer>;
} {
  const half = GROUP / 2;
  const scales = new Float32Array(Math.ceil(values.length / GROUP));
  const packed = new Uint8Array(scales.length * half);
  for (let group = 0; group < scales.length; group++) {
    const own = values.subarray(group * GROUP, (group + 1) * GROUP);
    const scale = groupScale(own);
    scales[group] = scale;
    const code = (value = 0): number => nibble(value, scale) + 8;
    for (let i = 0; i < half; i++) packed[group * half + i] = code(own[i]) | (code(own[i + half]) << 4);
  }
  return { packed, scales };
}

export function dequantizeGroups(packed: Uint8Array, scales: Float32Array): Float32Array<ArrayBuffer> {
  const half = GROUP / 2;
  const values = new Float32Array(GROUP * scales.length);
  for (let i = 0; i < packed.length; i++) {
    const [group, place] = [Math.floor(i / half), i % half];
    const from = group * GROUP + place;
    values[from] = ((packed[i]! & 15) - 8) * scales[group]!;
    values[from + half] = ((packed[i]! >> 4) - 8) * scales[group]!;
  }
  return values;
}

export function transposeBytes(values: Int8Array, width: number): Int8Array<ArrayBuffer> {
  const rows = values.length / width;
  const transposed = new Int8Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < width; column++) transposed[column * rows + row] = values[row * width + column]!;
  }
  return transposed;
}

/** Reorders packed groups so that each byte holds two adjacent numbers, not two that are half a group apart. */
export function pairAdjacent(packed: Uint8Array): Uint8Array<ArrayBuffer> {
  const half = GROUP / 2;
  const bytes = new Uint8Array(packed.length);
  for (let group = 0; group < packed.length; group += half) {
    for (let i = 0; i < half; i++) {
      // Numbers 2i and 2i + 1 are both in low nibbles, or both in high ones.
      const from = group + ((2 * i) % half);
      const shift = 2 * i < half ? 0 : 4;
      bytes[group + i] = ((packed[from]! >> shift) & 15) | (((packed[from + 1]! >> shift) & 15) << 4);
    }
  }
  return bytes;
}

/** Converts signed bytes to unsigned ones with zero point 128, as `MatMulNBits` needs them. Works in place. */
export function toUnsigned({ buffer, byteOffset, length }: Int8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(buffer, byteOffset, length);
  for (let i = 0; i < length; i++) bytes[i]! ^= 128;
  return bytes;
}
