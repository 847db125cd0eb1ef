import type { Dimension, Shape } from "../dimension.ts";
import type { Graph, Value } from "../graph.ts";
import { define, fail, requireIndices } from "./define.ts";
import { emitAs } from "./emit.ts";

const SIZES = define<readonly Value[], { sizes: Shape }>({
  name: "Sizes",
  infer: (_inputs, { sizes }) => [{ dtype: "int64", shape: [sizes.length] }],
  onnx({ attributes: { sizes }, outputs }, emitter) {
    emitter.emit("Identity", [emitter.shapeTensor(sizes)], { outputs });
  },
});

/** Sizes as a tensor, int64 `[sizes]`. */
export const sizesOf = (graph: Graph, sizes: Shape): Value => graph.apply(SIZES, [], { sizes });

const RANGE = define<readonly Value[], { size: Dimension }>({
  name: "Range",
  infer: (_inputs, { size }) => [{ dtype: "int64", shape: [size] }],
  onnx({ attributes: { size }, outputs }, emitter) {
    const end = emitter.emit("Squeeze", [emitter.shapeTensor([size])]);
    emitter.emit("Range", [emitter.scalar("int64", 0), end, emitter.scalar("int64", 1)], { outputs });
  },
});

/** Integers from 0 to `size - 1`, int64 `[size]`. */
export const range = (graph: Graph, size: Dimension): Value => graph.apply(RANGE, [], { size });

const GATHER_ND = define<[Value, Value]>({
  name: "GatherND",
  infer(inputs) {
    const [x, indices] = inputs;
    requireIndices("GatherND", inputs, [indices]);
    const depth = indices.shape.at(-1);
    if (typeof depth !== "number" || depth > x.shape.length) fail("GatherND", inputs, "takes indices [..., axes]");
    return [{ dtype: x.dtype, shape: [...indices.shape.slice(0, -1), ...x.shape.slice(depth)] }];
  },
  onnx: emitAs("GatherND"),
});

/** Elements at `indices [..., axes]`, int64, of the first axes; no gradient flows. */
export const gatherND = (x: Value, indices: Value): Value => x.graph.apply(GATHER_ND, [x, indices], {});
