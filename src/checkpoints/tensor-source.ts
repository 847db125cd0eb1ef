import type { NumberBlocks } from "../graph/number-blocks.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { GgmlType } from "./gguf/ggml-types.ts";
import type { Network } from "./onnx/network.ts";
import type { StoredType } from "./stored-values.ts";

export interface TensorInfo {
  dtype: StoredType | GgmlType;
  shape: readonly number[];
}

/** Named tensors of a checkpoint, read one at a time so that memory need not hold a large file twice. */
export interface TensorSource {
  /** File or folder, for error messages. */
  readonly location: string;
  /** Texts stored beside the tensors; safetensors only. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** The forward pass, if the format holds it; ONNX only. */
  readonly network?: Network;
  /**
   * Reads a tensor as float32, in an array of the caller's own.
   * @throws UserError if there is no such tensor or the file ends too early.
   */
  read(name: string): Promise<Tensor<"float32">>;
  /** Synchronous {@link read}; undefined if the source is asynchronous only. */
  readNow?(name: string): Tensor<"float32">;
  /**
   * Returns a function that reads a quantised tensor's blocks without decoding, repeatedly if the source can; undefined
   * if the tensor has no such blocks.
   * @throws UserError as `read`.
   */
  readBlocks?(name: string): Promise<(() => NumberBlocks) | undefined>;
}

/** Reads all tensors of a checkpoint. */
export async function readTensors(source: TensorSource): Promise<Map<string, Tensor<"float32">>> {
  const tensors = new Map<string, Tensor<"float32">>();
  for (const name of source.tensors.keys()) tensors.set(name, await source.read(name));
  return tensors;
}
