import type { InferenceSessionFactory, TensorConstructor } from "onnxruntime-common";

/** The part of ONNX Runtime's API that a runtime uses; onnxruntime-node and onnxruntime-web both have it. */
export interface OnnxRuntime {
  InferenceSession: InferenceSessionFactory;
  Tensor: TensorConstructor;
}
