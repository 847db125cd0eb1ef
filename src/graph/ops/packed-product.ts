import type { OnnxEmitter, Value } from "../graph.ts";
import { fromMiddle, GROUP, sideBySide } from "../quantize.ts";
import { MICROSOFT } from "./define.ts";

/** A constant matrix `[out, in]` in groups of 32 numbers side by side in a row, as `MatMulNBits` reads it. */
export interface PackedMatrix {
  /** What it is made of: another product of it has the same constants. */
  of: Value;
  bits: 4 | 8;
  shape: readonly [outFeatures: number, inFeatures: number];
  /** Makes the groups' numbers of some rows: two to a byte of 4 bits, counted from 8, or one of 8 bits, counted from 128. */
  bytes(firstRow: number, lastRow: number): Uint8Array;
  /** Makes those of each group. */
  scales(firstRow: number, lastRow: number): Float32Array;
}

/** Most bytes of one matrix: ONNX Runtime holds what it lays out twice meanwhile, so that a large vocabulary is laid out in parts. */
const LARGEST = 2 ** 25;

/** Whether the rows of a matrix are whole groups. */
export const isPackable = (inFeatures: number): boolean => inFeatures % GROUP === 0;

/**
 * `x Wᵀ` and what is added to it, of a constant matrix, which ONNX Runtime lays out for its kernels once. Rows are rounded to 8 bits in
 * groups of their own, so that numbers of few bits are multiplied as they are: x `[rows, in]` → `outputs` `[rows, out]`
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

/** A matrix of bytes that count from 0. @param values makes `[out, in]` @param scales of each output, `[out]`, or of each group of 32 */
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
  const bytes = (first: number, last: number) => fromMiddle(values().slice(first * width, last * width));
  return { of, bits: 8, shape, bytes, scales: spread };
}

/**
 * A matrix of groups of which each byte holds a number of the first half and one of the second.
 * @param packed makes `[groups, 16]` @param scales `[groups]`
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
  bytes: (first, last) => sideBySide(packed().subarray((first * shape[1]) / 2, (last * shape[1]) / 2)),
  scales: (first, last) => scales().subarray((first * shape[1]) / GROUP, (last * shape[1]) / GROUP),
});
