import { product } from "../dimension.ts";
import type { Value } from "../graph.ts";
import { type Places, positionCounts } from "./convolution.ts";
import { define, FLOATS, fail, requireType } from "./define.ts";
import { emitAs } from "./emit.ts";
import { scatterElements } from "./lookup.ts";
import { reshape } from "./shape.ts";

/** Window of a max pooling. Padding is never the maximum. */
export type Pooling = Places & { kernel: readonly number[] };

const MAX_POOL = define<[Value], Pooling>({
  name: "MaxPool",
  infer(inputs, pooling) {
    requireType("MaxPool", inputs, FLOATS);
    const [{ dtype, shape: of }] = inputs;
    const [batch, channels, ...space] = of;
    const { kernel } = pooling;
    if (space.length !== kernel.length) fail("MaxPool", inputs, "takes [batch, channels, …space]");
    const shape = [batch!, channels!, ...positionCounts("MaxPool", inputs, kernel, pooling)];
    return [
      { dtype, shape },
      { dtype: "int64", shape },
    ];
  },
  onnx: emitAs("MaxPool", ({ kernel, ...others }) => ({ attributes: { kernel_shape: kernel, ...others } })),
  // The second output holds the index of each maximum, counted over the whole of `x`.
  gradient({ inputs: [{ shape }], outputs: [, places] }, dy) {
    const list = [product(dy.shape)];
    return [reshape(scatterElements(reshape(dy, list), reshape(places!, list), 0, [product(shape)]), shape)];
  },
});

/** Maximum of each window, as ONNX's MaxPool: `x [batch, channels, …space]` → `[batch, channels, …positions]`. */
export const maxPool = (x: Value, pooling: Pooling): Value => x.graph.apply(MAX_POOL, [x], pooling);
