import type { Shape } from "../dimension.ts";
import type { Attributes, OnnxEmitter, OnnxNodeOptions, Op, Value } from "../graph.ts";

/** Returns the ONNX rule of an op that is one ONNX node with the same inputs. */
export function emitAs<Inputs extends readonly Value[], Attrs extends Attributes>(
  opType: string,
  options: (attributes: Attrs) => OnnxNodeOptions = () => ({}),
): Op<Inputs, Attrs>["onnx"] {
  return ({ inputs, outputs, attributes }, emitter) => {
    emitter.emit(opType, inputs, { ...options(attributes), outputs });
  };
}

/** Emits a Reshape of `x` between two shapes of equal size, and returns its output's name. */
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
  // -1 infers one size, 0 keeps a size. With more unknown sizes, the shape is read from the inputs, and sizes may be 0.
  const short = unknown.length <= 1;
  const target = short
    ? emitter.int64(to.map((size, axis) => (typeof size === "number" ? size : axis === unknown[0] ? -1 : 0)))
    : emitter.shapeTensor(to);
  return emitter.emit("Reshape", [x, target], {
    ...(!short && { attributes: { allowzero: 1 } }),
    ...(outputs && { outputs }),
  });
}

/** Emits the logarithm of the softmax over the last axis without LogSoftmax, for which some devices have no kernel. */
export function emitLogSoftmax(emitter: OnnxEmitter, x: Value, outputs: readonly Value[]): void {
  const last = emitter.int64([-1]);
  const shifted = emitter.emit("Sub", [x, emitter.emit("ReduceMax", [x, last])]);
  const sum = emitter.emit("ReduceSum", [emitter.emit("Exp", [shifted]), last]);
  emitter.emit("Sub", [shifted, emitter.emit("Log", [sum])], { outputs });
}
