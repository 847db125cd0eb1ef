import type { Value } from "../graph.ts";
import type { NumberBlocks } from "../number-blocks.ts";
import type { DataType, Tensor } from "../tensor.ts";

/** Storage format of a frozen matrix: a set of tensors, by part. */
export interface WeightFormat<Part extends string = string> {
  /** Returns types and shapes of the tensors of a matrix `[rows, width]`. */
  parts(rows: number, width: number): Record<Part, Pick<Tensor, "dtype" | "shape">>;
  /** Converts a matrix to the format's tensors. */
  quantize(weight: Tensor<"float32">): Record<Part, Tensor>;
  /** Converts blocks of a file to the format's tensors without rounding, or returns undefined if they do not fit. */
  fromBlocks?(blocks: NumberBlocks, shape: MatrixShape): Record<Part, Tensor> | undefined;
  /** Whether the format can store rows of this width. Formats without this function store any. */
  takes?(width: number): boolean;
}

/** Shape of a weight matrix. */
export type MatrixShape = readonly [rows: number, width: number];

/** Format for the weight `[out, in]` of a linear layer. */
export interface LinearFormat<Part extends string = string> extends WeightFormat<Part> {
  /** `x Wᵀ + bias`, `[rows, in]` → `[rows, out]`, with gradients for `x` and for the bias. */
  linear(x: Value, parts: Readonly<Record<Part, Value>>, shape: MatrixShape, bias?: Value): Value;
}

/** Format for the weights of layers that methods adapt. Some methods need to read the weight. */
export interface LayerFormat<Part extends string = string> extends LinearFormat<Part> {
  /** Returns the matrix by which products multiply. */
  dequantize(parts: Readonly<Record<Part, Tensor>>, shape: readonly [rows: number, width: number]): Tensor<"float32">;
  /** How vertically stacked matrices are multiplied as one; undefined if their stacked parts are not the stacked matrix's. */
  joined?: {
    /** Like {@link linear}, without the part that {@link thin} gives. */
    linear: LinearFormat<Part>["linear"];
    /** Returns a thin product to add (default: none). `left` is equal for all matrices of the same width. */
    thin?(parts: Readonly<Record<Part, Tensor>>, shape: MatrixShape): ThinFactors;
  };
}

/** Factors of a product `(x leftᵀ) rightᵀ` with a small inner size. */
export interface ThinFactors {
  /** `[between, in]` */
  left: Tensor<"float32">;
  /** `[out, between]` */
  right: Tensor<"float32">;
}

/** Format for token embeddings `[words, width]`, for look-ups and for a language model's output layer. */
export interface TableFormat<Part extends string = string> extends LinearFormat<Part> {
  /** Looks up rows of `[rows, width]`: `indices [...]` → float32 `[..., width]`. No gradient flows. */
  lookup(parts: Readonly<Record<Part, Value>>, indices: Value): Value;
}

/** A stored matrix as values of a graph. */
export interface StoredWeight<Format extends WeightFormat> {
  format: Format;
  shape: MatrixShape;
  parts: Readonly<Record<string, Value>>;
}

/** Describes a tensor by type and shape. */
export const like = <Type extends DataType>(
  dtype: Type,
  ...shape: number[]
): Pick<Tensor<Type>, "dtype" | "shape"> => ({
  dtype,
  shape,
});
