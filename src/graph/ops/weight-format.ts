import type { Value } from "../graph.ts";
import type { NumberBlocks } from "../number-blocks.ts";
import type { DataType, Tensor } from "../tensor.ts";

/** A way to store a matrix that does not train: tensors that stand in its place, by part. */
export interface WeightFormat<Part extends string = string> {
  /** What the tensors of a matrix `[rows, width]` are like. */
  parts(rows: number, width: number): Record<Part, Pick<Tensor, "dtype" | "shape">>;
  /** The tensors, from the matrix. */
  quantize(weight: Tensor<"float32">): Record<Part, Tensor>;
  /** The tensors, from blocks that a file has, as they are; undefined where they are no such numbers. */
  fromBlocks?(blocks: NumberBlocks, shape: MatrixShape): Record<Part, Tensor> | undefined;
  /** Whether it stores matrices of such rows; all where absent. */
  takes?(width: number): boolean;
}

export type MatrixShape = readonly [rows: number, width: number];

/** A format for the weight `[out, in]` of a linear layer. */
export interface LinearFormat<Part extends string = string> extends WeightFormat<Part> {
  /** `x Wᵀ + bias`, `[rows, in]` → `[rows, out]`, of a weight of this shape. The gradient flows to `x` and to the bias. */
  linear(x: Value, parts: Readonly<Record<Part, Value>>, shape: MatrixShape, bias?: Value): Value;
}

/** A format for the weights of layers that methods adapt: some need to know what the weight is. */
export interface LayerFormat<Part extends string = string> extends LinearFormat<Part> {
  /** The matrix that products are with, from its tensors. */
  dequantize(parts: Readonly<Record<Part, Tensor>>, shape: readonly [rows: number, width: number]): Tensor<"float32">;
  /** How matrices one below the other are multiplied as one; absent where their parts, one below the other, are not that one's. */
  joined?: {
    /** As {@link linear}, but for what {@link thin} gives. */
    linear: LinearFormat<Part>["linear"];
    /** What is added to that; nothing where absent. `left` is the same of all matrices as wide. */
    thin?(parts: Readonly<Record<Part, Tensor>>, shape: MatrixShape): ThinFactors;
  };
}

/** A product `(x leftᵀ) rightᵀ` of few numbers in between. */
export interface ThinFactors {
  /** `[between, in]` */
  left: Tensor<"float32">;
  /** `[out, between]` */
  right: Tensor<"float32">;
}

/** A format for a table of words `[words, width]`: rows are looked up, and a language model's output layer multiplies with it. */
export interface TableFormat<Part extends string = string> extends LinearFormat<Part> {
  /** `[rows, width]` by `indices [...]` → float32 `[..., width]`. No gradient flows. */
  lookup(parts: Readonly<Record<Part, Value>>, indices: Value): Value;
}

/** A matrix in some format as a graph reads it. */
export interface StoredWeight<Format extends WeightFormat> {
  format: Format;
  shape: MatrixShape;
  parts: Readonly<Record<string, Value>>;
}

/** Description of a tensor. */
export const like = <Type extends DataType>(
  dtype: Type,
  ...shape: number[]
): Pick<Tensor<Type>, "dtype" | "shape"> => ({
  dtype,
  shape,
});
