/** Element types, by their ONNX names. */
export type DataType = "float32" | "float64" | "int32" | "int64" | "bool" | "int8" | "uint8";

/** Array type for the elements of each type. A bool is a byte. */
export interface ArrayOfType {
  float32: Float32Array;
  float64: Float64Array;
  int32: Int32Array;
  int64: BigInt64Array;
  bool: Uint8Array;
  int8: Int8Array;
  uint8: Uint8Array;
}

/** Size of an element of each type, in bytes. */
export const ELEMENT_SIZE: Readonly<Record<DataType, number>> = {
  float32: 4,
  float64: 8,
  int32: 4,
  int64: 8,
  bool: 1,
  int8: 1,
  uint8: 1,
};

/** Array with the elements of a tensor of this type. */
export type TensorData<Type extends DataType = DataType> = ArrayOfType[Type];

/** Numbers of one type in a shape, row-major. The elements may be changed in place. */
export interface Tensor<Type extends DataType = DataType> {
  readonly dtype: Type;
  readonly shape: readonly number[];
  /** Its length is the number of elements of the shape. */
  readonly data: TensorData<Type>;
}

/** Tensors by name: weights, parameters, gradients or optimizer state. */
export type Tensors<Type extends DataType = DataType> = ReadonlyMap<string, Tensor<Type>>;

export function elementsOf(shape: readonly number[]): number {
  return shape.reduce((size, dimension) => size * dimension, 1);
}

/** Returns a float32 tensor over `data` (default: zeros). */
export function float32(
  shape: readonly number[],
  data: Float32Array = new Float32Array(elementsOf(shape)),
): Tensor<"float32"> {
  return { dtype: "float32", shape, data };
}

export function float64(
  shape: readonly number[],
  data: Float64Array = new Float64Array(elementsOf(shape)),
): Tensor<"float64"> {
  return { dtype: "float64", shape, data };
}

/** Returns an int32 tensor over `data`. */
export function int32(shape: readonly number[], data: Int32Array): Tensor<"int32"> {
  return { dtype: "int32", shape, data };
}

export function int64(shape: readonly number[], values: readonly number[]): Tensor<"int64"> {
  return { dtype: "int64", shape, data: BigInt64Array.from(values, BigInt) };
}

export function areFinite(data: TensorData<"float32" | "float64">): boolean {
  // Zero times NaN or an infinity is NaN: twice as fast as asking for each number.
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum += 0 * data[i]!;
  return sum === 0;
}

export const notFinite = (tensors: Tensors<"float32">): string | undefined =>
  [...tensors].find(([, { data }]) => !areFinite(data))?.[0];

export function asFloat32(tensor: Tensor): Tensor<"float32"> {
  if (tensor.dtype !== "float32") throw new Error(`a tensor is ${tensor.dtype}, but float32 is needed`);
  return tensor as Tensor<"float32">;
}

export function asFloat64(tensor: Tensor): Tensor<"float64"> {
  if (tensor.dtype !== "float64") throw new Error(`a tensor is ${tensor.dtype}, but float64 is needed`);
  return tensor as Tensor<"float64">;
}

export function copyOf<Type extends DataType>({ dtype, shape, data }: Tensor<Type>): Tensor<Type> {
  return { dtype, shape, data: data.slice() as TensorData<Type> };
}

export function transposed({ shape, data }: Tensor<"float32">): Tensor<"float32"> {
  const [rows, columns] = shape as [number, number];
  const result = float32([columns, rows]);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) result.data[column * rows + row] = data[row * columns + column]!;
  }
  return result;
}
