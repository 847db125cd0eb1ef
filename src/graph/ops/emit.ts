import type { Shape } from "../dimension.ts";
import type { Attributes, OnnxEmitter, OnnxNodeOptions, Op, Value } from "../graph.ts";

/** ONNX form of an op that is one ONNX node with the same inputs. */
export function emitAs<Inputs extends readonly Value[], Attrs extends Attributes>(
  opType: string,
  options: (attributes: Attrs) => OnnxNodeOptions = () => ({}),
): Op<Inputs, Attrs>["onnx"] {
  return ({ inputs, outputs, attributes }, emitter) => {
    emitter.emit(opType, inputs, { ...options(attributes), outputs });
  };
}

/** Emits a Reshape of `x` from one shape to another of as many elements; returns its output's name. */
export function emitReshape(
  emitter: OnnxEmitter,
  x: Value | string,
  from: Shape,
  to: Shape,
  outputs?: OnnxNodeOptions["outputs"],
): string {
  const unknown = to.flatMap((dimension, axis) =>
    typeof dimension === "string" && dimension !== from[axis] ? [axis] : [],
  );
  // -1 stands for one size, 0 for a size kept; more unknown sizes than one must be read from the inputs, and may be 0.
  const short = unknown.length <= 1;
  const target = short
    ? emitter.int64(to.map((size, axis) => (typeof size === "number" ? size : axis === unknown[0] ? -1 : 0)))
    : emitter.shapeTensor(to);
  return emitter.emit("Reshape", [x, target], {
    ...(!short && { attributes: { allowzero: 1 } }),
    ...(outputs && { outputs }),
  });
}

/** Emits the logarithm of the softmax over the last axis without LogSoftmax, of which not every device has a kernel. */
export function emitLogSoftmax(emitter: OnnxEmitter, x: Value, outputs: readonly Value[]): void {
  const last = emitter.int64([-1]);
  const shifted = emitter.emit("Sub", [x, emitter.emit("ReduceMax", [x, last])]);
  const sum = emitter.emit("ReduceSum", [emitter.emit("Exp", [shifted]), last]);
  emitter.emit("Sub", [shifted, emitter.emit("Log", [sum])], { outputs });
}
