import type { InferenceSessionFactory, TensorConstructor } from "onnxruntime-common";

/** What a runtime needs of ONNX Runtime: onnxruntime-node and onnxruntime-web both have it. */
export interface OnnxRuntime {
  InferenceSession: InferenceSessionFactory;
  Tensor: TensorConstructor;
}
