import { sameShape } from "../dimension.ts";
import type { Value } from "../graph.ts";
import { define, eachRow, fail, MICROSOFT, requireType } from "./define.ts";
import { neg } from "./elementwise.ts";
import { emitReshape } from "./emit.ts";

const ROTARY = define<[Value, Value, Value], { heads: number }>({
  name: "RotaryEmbedding",
  infer(inputs, { heads }) {
    requireType("RotaryEmbedding", inputs, ["float32"]);
    const [x, cosine, sine] = inputs;
    const [rows, width] = x.shape;
    const pairs = cosine.shape[1];
    const fits =
      x.shape.length === 2 &&
      cosine.shape.length === 2 &&
      cosine.shape[0] === rows &&
      sameShape(cosine.shape, sine.shape) &&
      typeof width === "number" &&
      typeof pairs === "number" &&
      Number.isInteger(width / heads) &&
      2 * pairs <= width / heads;
    if (!fits)
      fail("RotaryEmbedding", inputs, `takes rows of ${heads} heads, a cosine and a sine for pairs of features`);
    return [{ dtype: x.dtype, shape: x.shape }];
  },
  onnx({ inputs: [x, cosine, sine], attributes: { heads }, outputs }, emitter) {
    const [, width] = x.shape as [string, number];
    const rotatedSize = 2 * (cosine.shape[1] as number);
    const one = [1, ...x.shape];
    // The kernel sees all rows as one text whose first position is 0: row i uses row i of the cosines.
    const text = emitReshape(emitter, x, x.shape, one);
    const attributes = {
      num_heads: heads,
      ...(rotatedSize < width / heads && { rotary_embedding_dim: rotatedSize }),
    };
    const rotated = emitter.emit("RotaryEmbedding", [text, emitter.int64([0]), cosine, sine], {
      domain: MICROSOFT,
      attributes,
    });
    emitReshape(emitter, rotated, one, x.shape, outputs);
  },
  // The inverse is the rotation by the negative angle. Angles depend on positions only and get no gradient.
  gradient: ({ inputs: [, cosine, sine], attributes: { heads } }, dy) => [rotate(dy, cosine, neg(sine), heads)],
  rows: eachRow,
});

/**
 * Rotates pairs of features, row by row (arXiv 2104.09864): within each head, feature i pairs with feature i + pairs.
 * Features after `2 × pairs` stay as they are. float32 only.
 * @param x `[rows, heads*size]`
 * @param cosine of each pair's angle, `[rows, pairs]`, as is `sine`
 */
export function rotate(x: Value, cosine: Value, sine: Value, heads: number): Value {
  return x.graph.apply(ROTARY, [x, cosine, sine], { heads });
}
