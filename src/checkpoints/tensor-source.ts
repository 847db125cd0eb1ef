/** Element types that checkpoints store and we read, in safetensors' names. */
export type StoredType = "F64" | "F32" | "F16" | "BF16" | "I64" | "I32" | "U8" | "BOOL";

export interface TensorInfo {
  dtype: StoredType;
  shape: readonly number[];
}

/** Named tensors of a checkpoint, read one at a time so that a large file need not fit in memory twice. */
export interface TensorSource {
  /** Where the tensors come from, for error messages: a file or a folder. */
  readonly location: string;
  /** Texts that the format keeps beside the tensors; safetensors only. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /**
   * The tensor's values as float32, row-major.
   * @throws UserError where the name is not there or the file ends too early.
   */
  read(name: string): Float32Array;
}
