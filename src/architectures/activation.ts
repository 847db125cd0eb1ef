import type { Value } from "../graph/graph.ts";
import { add, gelu, mul, relu, sigmoid, tanh } from "../graph/ops.ts";

/** GELU in its tanh approximation. */
function tanhGelu(x: Value): Value {
  const inner = mul(add(x, mul(mul(mul(x, x), x), 0.044715)), Math.sqrt(2 / Math.PI));
  return mul(mul(x, 0.5), add(tanh(inner), 1));
}

export const ACTIVATIONS = {
  gelu,
  gelu_new: tanhGelu,
  gelu_pytorch_tanh: tanhGelu,
  relu,
  silu: (x: Value): Value => mul(x, sigmoid(x)),
  swish: (x: Value): Value => mul(x, sigmoid(x)),
  tanh,
} as const;

export type Activation = keyof typeof ACTIVATIONS;
export const ACTIVATION_NAMES = Object.keys(ACTIVATIONS) as [Activation, ...Activation[]];
