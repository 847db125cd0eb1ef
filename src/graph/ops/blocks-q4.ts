import { type NumberBlocks, packNibbles } from "../number-blocks.ts";
import { dequantizeGroups, GROUP } from "../quantize.ts";
import { asFloat32, float32, type Tensor } from "../tensor.ts";
import { int4 } from "./linear-int4.ts";
import { gemm } from "./products.ts";
import { reduceSum } from "./reductions.ts";
import { reshape } from "./shape.ts";
import { type LayerFormat, like, type MatrixShape } from "./weight-format.ts";

const tensorsOf = ({ numbers, scales }: NumberBlocks): { packed: Tensor; scales: Tensor } => ({
  packed: { ...like("uint8", scales.length, GROUP / 2), data: numbers as Uint8Array<ArrayBuffer> },
  scales: float32([scales.length], scales),
});

const takes = (width: number): boolean => width % GROUP === 0;

/** GGUF's Q4_0: blocks of 32 numbers in 4 bits, in the same layout as {@link int4}. */
export const q4_0: LayerFormat<"packed" | "scales"> = {
  ...int4,
  takes,
  fromBlocks: (blocks) => (blocks.bits === 4 && !blocks.minima ? tensorsOf(blocks) : undefined),
  joined: { linear: int4.linear },
};

/**
 * GGUF's Q4_1: blocks of 32 numbers `scale · (q - 8) + shift`. To a product, the shifts add the sums of each 32 numbers
 * of a row times the shifts: a product with a matrix of a thirty-second of the size.
 */
export const q4_1: LayerFormat<"packed" | "scales" | "shifts"> = {
  takes,
  parts: (outFeatures, inFeatures) => ({
    ...int4.parts(outFeatures, inFeatures),
    shifts: like("float32", outFeatures, inFeatures / GROUP),
  }),
  quantize({ shape, data }) {
    const [outFeatures, inFeatures] = shape as [number, number];
    return shifted(packNibbles(data), [outFeatures, inFeatures]);
  },
  fromBlocks: (blocks, shape) => (blocks.bits === 4 ? shifted(blocks, shape) : undefined),
  dequantize({ packed, scales, shifts }, shape) {
    const values = dequantizeGroups(packed.data as Uint8Array, asFloat32(scales).data);
    const shiftOf = asFloat32(shifts).data;
    return float32(
      shape,
      values.map((value, i) => value + shiftOf[Math.floor(i / GROUP)]!),
    );
  },
  linear(x, { packed, scales, shifts }, shape, bias) {
    const inBlocks = reshape(x, [x.shape[0]!, shape[1] / GROUP, GROUP]);
    const addend = int4.linear(x, { packed, scales }, shape, bias);
    return gemm(reduceSum(inBlocks, [-1]), shifts, { transB: true, addend });
  },
  joined: {
    linear: int4.linear,
    thin({ shifts }, [, inFeatures]) {
      const sums = float32([inFeatures / GROUP, inFeatures]);
      for (let i = 0; i < inFeatures; i++) sums.data[Math.floor(i / GROUP) * inFeatures + i] = 1;
      return { left: sums, right: asFloat32(shifts) };
    },
  },
};

/** @param blocks their numbers are `(q - 8) · scale`, or `q · scale + minimum` with minima, which become shifts */
function shifted(blocks: NumberBlocks, [rows, width]: MatrixShape): Record<"packed" | "scales" | "shifts", Tensor> {
  const { scales, minima } = blocks;
  const shifts = scales.map((scale, i) => (minima ? minima[i]! + 8 * scale : 0));
  return { ...tensorsOf(blocks), shifts: float32([rows, width / GROUP], shifts) };
}
