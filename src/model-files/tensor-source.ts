import type { NumberBlocks } from "../graph/number-blocks.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { GgmlType } from "./gguf/ggml-types.ts";
import type { Network } from "./onnx/network.ts";
import type { StoredType } from "./stored-values.ts";

export interface TensorInfo {
  dtype: StoredType | GgmlType;
  shape: readonly number[];
}

/** Named tensors of a checkpoint, read one at a time so that a large file need not fit in memory twice. */
export interface TensorSource {
  /** Where the tensors come from, for error messages: a file or a folder. */
  readonly location: string;
  /** Texts that the format keeps beside the tensors; safetensors only. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** What is computed with the tensors, where the format holds that, too; ONNX only. */
  readonly network?: Network;
  /**
   * The tensor in float32. Its elements are the caller's own.
   * @throws UserError where the name is not there or the file ends too early.
   */
  read(name: string): Promise<Tensor<"float32">>;
  /** The same without waiting; absent where that cannot be. */
  readNow?(name: string): Tensor<"float32">;
  /**
   * What gives the tensor's blocks of few bits, as they are stored, from the file again where it can; undefined where it has none that are
   * taken so.
   * @throws UserError as `read`.
   */
  readBlocks?(name: string): Promise<(() => NumberBlocks) | undefined>;
}

/** All tensors of a checkpoint. */
export async function readTensors(source: TensorSource): Promise<Map<string, Tensor<"float32">>> {
  const tensors = new Map<string, Tensor<"float32">>();
  for (const name of source.tensors.keys()) tensors.set(name, await source.read(name));
  return tensors;
}
