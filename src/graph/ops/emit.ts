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

/** Second operand of a Reshape from one shape to another of as many elements. */
export function reshapeTarget(emitter: OnnxEmitter, from: Shape, to: Shape): string {
  const unknown = to.flatMap((dimension, axis) =>
    typeof dimension === "string" && dimension !== from[axis] ? [axis] : [],
  );
  // -1 stands for one size, 0 for a size kept; more unknown sizes than one must be read from the inputs.
  return unknown.length <= 1
    ? emitter.int64(to.map((size, axis) => (typeof size === "number" ? size : axis === unknown[0] ? -1 : 0)))
    : emitter.shapeTensor(to);
}
