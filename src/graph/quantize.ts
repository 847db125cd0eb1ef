/** Whole numbers from -127 to 127 with a factor for each row, or each column, that they share. */
export interface Quantized {
  /** Laid out as what was quantised. */
  values: Int8Array<ArrayBuffer>;
  scales: Float32Array<ArrayBuffer>;
  /** Sum of each row, or each column, of `values · scales`. */
  sums: Float32Array<ArrayBuffer>;
}

/**
 * A matrix `[rows, width]` in 8 bits, symmetric: `values · scales` is nearest to it with one scale for each row, or each column.
 * @param bound largest whole number to use
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
  // A row of zeros keeps its zeros at any scale.
  for (let i = 0; i < scales.length; i++) scales[i] = scales[i]! / bound || 1;
  each((i, scale) => {
    values[i] = Math.round(matrix[i]! / scales[scale]!);
    // Sums of whole numbers are exact.
    sums[scale]! += values[i]!;
  });
  for (let i = 0; i < sums.length; i++) sums[i]! *= scales[i]!;
  return { values, scales, sums };
}

/** Numbers that share a scale in 4 bits. */
export const GROUP = 32;

/**
 * Numbers in 4 bits by groups of {@link GROUP}, the last one filled with zeros: each is `(q - 8) · scale` with q from 0 to 15.
 * @returns the q two to a byte, a group's first half in the low halves of its bytes; and the groups' scales
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
    // The number farthest from 0 gets the -8 that has no counterpart, whatever its sign.
    const farthest = own.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0);
    scales[group] = farthest / -8 || 1;
    const code = (value = 0): number => Math.min(15, Math.max(0, Math.round(value / scales[group]!) + 8));
    for (let i = 0; i < half; i++) packed[group * half + i] = code(own[i]) | (code(own[i + half]) << 4);
  }
  return { packed, scales };
}

/** `[rows, width]` as `[width, rows]`. */
export function transposeBytes(values: Int8Array, width: number): Int8Array<ArrayBuffer> {
  const rows = values.length / width;
  const turned = new Int8Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < width; column++) turned[column * rows + row] = values[row * width + column]!;
  }
  return turned;
}
