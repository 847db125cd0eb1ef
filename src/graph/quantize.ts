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

/** A number in 4 bits, from -8 to 7. */
const nibble = (value: number, scale: number): number => Math.min(7, Math.max(-8, Math.round(value / scale)));

/** The scale, of few that are tried, that leaves a group the least squared error; never 0. */
function groupScale(group: Float32Array): number {
  let farthest = 0;
  for (const value of group) if (Math.abs(value) > Math.abs(farthest)) farthest = value;
  if (farthest === 0) return 1;
  let [best, least] = [1, Number.POSITIVE_INFINITY];
  // The number farthest from 0 becomes the -8, or the 7; then the scale is the one that suits the rounded numbers best.
  for (const end of [-8, 7]) {
    let scale = Math.fround(farthest / end);
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
 * Numbers in 4 bits by groups of {@link GROUP}, the last one filled with zeros: each is `(q - 8) · scale` with q from 0 to 15.
 * Scales are chosen for the least squared error.
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
    const scale = groupScale(own);
    scales[group] = scale;
    const code = (value = 0): number => nibble(value, scale) + 8;
    for (let i = 0; i < half; i++) packed[group * half + i] = code(own[i]) | (code(own[i + half]) << 4);
  }
  return { packed, scales };
}

/** What {@link quantizeGroups} made, as numbers: those that filled the last group are among them. */
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

/** `[rows, width]` as `[width, rows]`. */
export function transposeBytes(values: Int8Array, width: number): Int8Array<ArrayBuffer> {
  const rows = values.length / width;
  const turned = new Int8Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < width; column++) turned[column * rows + row] = values[row * width + column]!;
  }
  return turned;
}

/** Groups whose bytes hold numbers half a group apart, with numbers that stand side by side in each byte. */
export function sideBySide(packed: Uint8Array): Uint8Array<ArrayBuffer> {
  const half = GROUP / 2;
  const bytes = new Uint8Array(packed.length);
  for (let group = 0; group < packed.length; group += half) {
    for (let i = 0; i < half; i++) {
      // Of numbers 2i and 2i + 1: both low halves, or both high ones.
      const from = group + ((2 * i) % half);
      const shift = 2 * i < half ? 0 : 4;
      bytes[group + i] = ((packed[from]! >> shift) & 15) | (((packed[from + 1]! >> shift) & 15) << 4);
    }
  }
  return bytes;
}

/** Signed bytes as unsigned ones that count from 128, as `MatMulNBits` has 8 bits; in place. */
export function fromMiddle({ buffer, byteOffset, length }: Int8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(buffer, byteOffset, length);
  for (let i = 0; i < length; i++) bytes[i]! ^= 128;
  return bytes;
}
