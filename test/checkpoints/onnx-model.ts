import { describeModel } from "../../src/architectures/families.ts";
import { memoryFiles } from "../../src/checkpoints/model-files.ts";
import { openOnnx } from "../../src/checkpoints/onnx/onnx-format.ts";
import { bytesSource } from "../../src/files/byte-source.ts";
import { MODEL } from "../../src/graph/onnx-schema.ts";
import { encodeMessage } from "../../src/graph/protobuf-message.ts";

export const WIDTH = 4;
export const config = { model_type: "made-up", vocab_size: 3, max_position_embeddings: 8 };

export interface Model {
  node: object[];
  initializer: object[];
  input: object[];
  output: object[];
}

export const tensor = (name: string, dims: number[], values: readonly number[], more: object = {}): object => ({
  name,
  dims,
  dataType: 1,
  rawData: new Uint8Array(Float32Array.from(values).buffer),
  ...more,
});
export const node = (opType: string, input: string[], output: string[], attribute: object[] = []): object => ({
  name: output[0],
  opType,
  input,
  output,
  attribute,
});
export const int64Bytes = (...values: number[]): Uint8Array =>
  new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
export const port = (name: string): object => ({ name, type: { tensorType: { elemType: 7 } } });

/** Looks up tokens and multiplies them by a matrix. */
export const small = (): Model => ({
  node: [node("Gather", ["table", "input_ids"], ["words"]), node("MatMul", ["words", "matrix"], ["last_hidden_state"])],
  initializer: [
    tensor("table", [3, WIDTH], new Array(3 * WIDTH).fill(0.5)),
    tensor(
      "matrix",
      [WIDTH, WIDTH],
      Array.from({ length: WIDTH * WIDTH }, (_, i) => i),
    ),
  ],
  input: [port("input_ids")],
  output: [port("last_hidden_state")],
});

export const bytesOf = (graph: object, version = 17): Uint8Array =>
  new Uint8Array(encodeMessage(MODEL, { irVersion: 8, graph: { name: "g", ...graph }, opsetImport: [{ version }] }));
export const open = (bytes: Uint8Array, beside: Record<string, Uint8Array> = {}) =>
  openOnnx(bytesSource("made/model.onnx", bytes), memoryFiles("made", beside), "");
export async function describeBytes(bytes: Uint8Array, beside?: Record<string, Uint8Array>) {
  return describeModel(config, (await open(bytes, beside)).network);
}

/** Values of int8 or uint8, with their scale and zero point. */
export const stored = (name: string, dims: number[], values: readonly number[], signed: boolean): object => ({
  name,
  dims,
  dataType: signed ? 3 : 2,
  rawData: signed ? new Uint8Array(Int8Array.from(values).buffer) : Uint8Array.from(values),
});
export const int = (name: string, i: number): object => ({ name, i, type: 2 });
