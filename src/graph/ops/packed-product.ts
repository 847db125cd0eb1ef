import type { OnnxEmitter, Value } from "../graph.ts";
import { fromMiddle, GROUP, sideBySide } from "../quantize.ts";
import { MICROSOFT } from "./define.ts";

/** A constant matrix `[out, in]` in groups of 32 numbers side by side in a row, as `MatMulNBits` reads it. */
export interface PackedMatrix {
  /** What it is made of: another product of it has the same constants. */
  of: Value;
  bits: 4 | 8;
  shape: readonly [outFeatures: number, inFeatures: number];
  /** Makes the groups' numbers: two to a byte of 4 bits, counted from 8, or one of 8 bits, counted from 128. */
  bytes(): Uint8Array;
  /** Makes those of each group. */
  scales(): Float32Array;
}

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
  const name = `${of.leaf!.name}:packed`;
  const groups = emitter.tensor(name, "uint8", [N, K / GROUP, (GROUP * bits) / 8], bytes);
  const factors = emitter.tensor(`${name}:scales`, "float32", [(N * K) / GROUP], scales);
  const product = emitter.emit("MatMulNBits", [x, groups, factors], {
    domain: MICROSOFT,
    attributes: { K, N, bits, block_size: GROUP, accuracy_level: 4 },
    ...(!addend && { outputs }),
  });
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
  const count = shape[0] * perRow;
  const spread = (): Float32Array => {
    const own = scales();
    return own.length === count ? own : Float32Array.from({ length: count }, (_, i) => own[Math.floor(i / perRow)]!);
  };
  return { of, bits: 8, shape, bytes: () => fromMiddle(values().slice()), scales: spread };
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
): PackedMatrix => ({ of, bits: 4, shape, bytes: () => sideBySide(packed()), scales });
