/** Storage formats of cached hidden states: float32, or 16 or 8 bits with a scale per row. */
export const PACKED_FORMATS = ["int16", "int8", "float32"] as const;
/** Storage format of cached hidden states. */
export type PackedFormat = (typeof PACKED_FORMATS)[number];

const BYTES: Readonly<Record<PackedFormat, number>> = { float32: 4, int16: 2, int8: 1 };

/** Size of rows `[rows, width]` in bytes, including their scales. */
export function packedSize(rows: number, width: number, format: PackedFormat): number {
  return rows * width * BYTES[format] + (format === "float32" ? 0 : 4 * rows);
}

/** Packs rows `[rows, width]` into bytes: the scales, then the values row by row. Each row's largest value uses the full range. */
export function packRows(values: Float32Array, width: number, format: PackedFormat): Uint8Array<ArrayBuffer> {
  const rows = values.length / width;
  const packed = new Uint8Array(packedSize(rows, width, format));
  if (format === "float32") {
    new Float32Array(packed.buffer).set(values);
    return packed;
  }
  const scales = new Float32Array(packed.buffer, 0, rows);
  const whole = wholeNumbers(packed, rows, format);
  const limit = format === "int16" ? 32767 : 127;
  for (let row = 0; row < rows; row++) {
    const start = row * width;
    let largest = 0;
    for (let i = start; i < start + width; i++) largest = Math.max(largest, Math.abs(values[i]!));
    scales[row] = largest / limit;
    const factor = largest === 0 ? 0 : 1 / scales[row]!;
    for (let i = start; i < start + width; i++) {
      const scaled = values[i]! * factor;
      // Rounds to the nearest; `Math.round` takes twice as long.
      whole[i] = (scaled < 0 ? scaled - 0.5 : scaled + 0.5) | 0;
    }
  }
  return packed;
}

/** Inverse of {@link packRows}: float32 `[rows, width]`. */
export function unpackRows(packed: Uint8Array<ArrayBuffer>, width: number, format: PackedFormat): Float32Array {
  if (format === "float32") return new Float32Array(packed.buffer, packed.byteOffset, packed.length / 4);
  const rows = packed.length / (4 + width * BYTES[format]);
  const scales = new Float32Array(packed.buffer, packed.byteOffset, rows);
  const whole = wholeNumbers(packed, rows, format);
  const values = new Float32Array(rows * width);
  for (let row = 0; row < rows; row++) {
    const scale = scales[row]!;
    for (let i = row * width; i < (row + 1) * width; i++) values[i] = whole[i]! * scale;
  }
  return values;
}

function wholeNumbers({ buffer, byteOffset, length }: Uint8Array<ArrayBuffer>, rows: number, format: "int16" | "int8") {
  const start = 4 * rows;
  return format === "int16"
    ? new Int16Array(buffer, byteOffset + start, (length - start) / 2)
    : new Int8Array(buffer, byteOffset + start, length - start);
}
