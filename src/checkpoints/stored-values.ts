/** Supported element types of checkpoints, in safetensors' names. */
export type StoredType = "F64" | "F32" | "F16" | "BF16" | "I64" | "I32" | "I8" | "U8" | "BOOL";

/** Size of an element of each stored type, in bytes. */
export const ELEMENT_BYTES: Readonly<Record<StoredType, number>> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I8: 1,
  U8: 1,
  BOOL: 1,
};

/**
 * Converts little-endian stored elements to float32.
 * @param buffer exactly the elements' bytes; an F32 result shares it.
 */
export function decodeStored(dtype: StoredType, buffer: ArrayBuffer): Float32Array {
  switch (dtype) {
    case "F32":
      return new Float32Array(buffer);
    case "F64":
      return new Float32Array(new Float64Array(buffer));
    case "I32":
      return new Float32Array(new Int32Array(buffer));
    case "I8":
      return new Float32Array(new Int8Array(buffer));
    case "U8":
    case "BOOL":
      return new Float32Array(new Uint8Array(buffer));
    case "I64":
      return Float32Array.from(new BigInt64Array(buffer), Number);
    case "BF16": {
      const halves = new Uint16Array(buffer);
      const bits = new Uint32Array(halves.length);
      for (let i = 0; i < bits.length; i++) bits[i] = halves[i]! << 16;
      return new Float32Array(bits.buffer);
    }
    case "F16": {
      halfTable ??= makeHalfTable();
      const halves = new Uint16Array(buffer);
      const values = new Float32Array(halves.length);
      for (let i = 0; i < values.length; i++) values[i] = halfTable[halves[i]!]!;
      return values;
    }
  }
}

/** Decodes a half-precision number from its 16 bits. */
export function decodeHalf(bits: number): number {
  halfTable ??= makeHalfTable();
  return halfTable[bits]!;
}

/** Encodes float32 values in IEEE half precision, rounded to nearest, ties to even; infinite if out of range. */
export function encodeHalf(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const sign = (bits[i]! >>> 16) & 0x8000;
    const magnitude = bits[i]! & 0x7fffffff;
    let half: number;
    if (magnitude > 0x7f800000) half = 0x7e00;
    // 65520 is halfway between the largest half and the next step: it and all above round to infinity.
    else if (magnitude >= 0x477ff000) half = 0x7c00;
    // Below 2^-14 halves are multiples of 2^-24.
    else if (magnitude < 0x38800000) half = roundToEven(Math.abs(values[i]!) * 2 ** 24);
    // Re-bias the exponent by 15 - 127, then round away the 13 low bits of the mantissa.
    else half = (magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13;
    halves[i] = sign | half;
  }
  return halves;
}

/** Rounds a number of at most 2^51 to an integer, ties to even: the sum has no bits left for a fraction. */
function roundToEven(x: number): number {
  return x + 2 ** 52 - 2 ** 52;
}

let halfTable: Float32Array | undefined;

function makeHalfTable(): Float32Array {
  return Float32Array.from({ length: 65536 }, (_, half) => {
    const sign = half & 0x8000 ? -1 : 1;
    const exponent = (half >>> 10) & 31;
    const mantissa = half & 0x3ff;
    if (exponent === 31) return mantissa ? Number.NaN : sign * Number.POSITIVE_INFINITY;
    return sign * (exponent ? (1024 + mantissa) * 2 ** (exponent - 25) : mantissa * 2 ** -24);
  });
}
