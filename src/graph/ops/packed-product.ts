import type { OnnxEmitter, Value } from "../graph.ts";
import { GROUP, pairAdjacent, toUnsigned } from "../quantize.ts";
import { MICROSOFT } from "./define.ts";

/** A constant matrix `[out, in]` in groups of 32 adjacent numbers of a row, as `MatMulNBits` reads it. */
export interface PackedMatrix {
  /** The leaf that holds the weight. Other products with it share the constants. */
  of: Value;
  bits: 4 | 8;
  shape: readonly [outFeatures: number, inFeatures: number];
  /** Returns the numbers of some rows: 4-bit ones two to a byte with zero point 8, or bytes with zero point 128. */
  bytes(firstRow: number, lastRow: number): Uint8Array;
  /** Returns the groups' scales of some rows. */
  scales(firstRow: number, lastRow: number): Float32Array;
}

/** Maximum number of bytes of one matrix. ONNX Runtime holds a matrix twice while it prepacks it, so a large vocabulary is split. */
const LARGEST = 2 ** 25;

/** Whether the rows of a matrix are whole groups. */
export const isPackable = (inFeatures: number): boolean => inFeatures % GROUP === 0;

/**
 * Emits `x Wᵀ + addend` for a constant matrix, which ONNX Runtime prepacks once. Rows are rounded to 8 bits in their own
 * groups, so that integers are multiplied: x `[rows, in]` → `outputs` `[rows, out]`
 * (https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits).
 */
export function packedProduct(
  x: Value,
  { of, bits, shape: [N, K], bytes, scales }: PackedMatrix,
  addend: Value | undefined,
  outputs: readonly Value[],
  emitter: OnnxEmitter,
): void {
  const count = Math.ceil((N * K * bits) / 8 / LARGEST);
  const rows = Math.ceil(N / count);
  const isLast = (produced: boolean) => produced && { outputs };
  const products = Array.from({ length: count }, (_, i) => {
    const [first, last] = [i * rows, Math.min(N, (i + 1) * rows)];
    const own = last - first;
    const name = `${of.leaf!.name}:packed${count > 1 ? `:${i}` : ""}`;
    const groups = emitter.tensor(name, "uint8", [own, K / GROUP, (GROUP * bits) / 8], () => bytes(first, last));
    const factors = emitter.tensor(`${name}:scales`, "float32", [(own * K) / GROUP], () => scales(first, last));
    return emitter.emit("MatMulNBits", [x, groups, factors], {
      domain: MICROSOFT,
      attributes: { K, N: own, bits, block_size: GROUP, accuracy_level: 4 },
      ...isLast(!addend && count === 1),
    });
  });
  const product =
    count === 1 ? products[0]! : emitter.emit("Concat", products, { attributes: { axis: 1 }, ...isLast(!addend) });
  if (addend) emitter.emit("Add", [product, addend], { outputs });
}

/** Describes a matrix of signed bytes `[out, in]`. @param scales returns `[out]`, or one for each group of 32 */
export function packedBytes(
  of: Value,
  values: () => Int8Array,
  scales: () => Float32Array,
  shape: readonly [outFeatures: number, inFeatures: number],
): PackedMatrix {
  const perRow = shape[1] / GROUP;
  const [rows, width] = shape;
  const spread = (first: number, last: number): Float32Array => {
    const own = scales();
    if (own.length > rows) return own.subarray(first * perRow, last * perRow);
    return Float32Array.from({ length: (last - first) * perRow }, (_, i) => own[first + Math.floor(i / perRow)]!);
  };
  const bytes = (first: number, last: number) => toUnsigned(values().slice(first * width, last * width));
  return { of, bits: 8, shape, bytes, scales: spread };
}

/**
 * Describes a matrix of packed groups, in which a byte holds a number of the first half and one of the second.
 * @param packed returns `[groups, 16]` @param scales returns `[groups]`
 */
export const packedPairs = (
  of: Value,
  packed: () => Uint8Array,
  scales: () => Float32Array,
  shape: readonly [outFeatures: number, inFeatures: number],
): PackedMatrix => ({
  of,
  bits: 4,
  shape,
  bytes: (first, last) => pairAdjacent(packed().subarray((first * shape[1]) / 2, (last * shape[1]) / 2)),
  scales: (first, last) => scales().subarray((first * shape[1]) / GROUP, (last * shape[1]) / GROUP),
});
