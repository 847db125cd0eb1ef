import { product, sameShape, showShape } from "../dimension.ts";
import type { Value } from "../graph.ts";
import { define, fail, requireIndices } from "./define.ts";
import { emitReshape } from "./emit.ts";

const PAD_ROWS = define<[Value, Value, Value], { zeros: boolean }>({
  name: "PadRows",
  infer(inputs) {
    const [rows, places, rowPlaces] = inputs;
    requireIndices("PadRows", inputs, [places, rowPlaces]);
    if (!sameShape(rows.shape.slice(0, 1), rowPlaces.shape)) {
      fail("PadRows", inputs, `needs a place for each of ${showShape(rows.shape.slice(0, 1))} rows`);
    }
    return [{ dtype: rows.dtype, shape: [...places.shape, ...rows.shape.slice(1)] }];
  },
  onnx({ inputs: [rows, places], attributes: { zeros }, outputs }, emitter) {
    // Row -1 is the last one: the one of zeros where there is one.
    const axis = emitter.int64([0]);
    const table = zeros ? emitter.emit("Pad", [rows, emitter.int64([0, 1]), "", axis]) : rows;
    emitter.emit("Gather", [table, places], { attributes: { axis: 0 }, outputs });
  },
  gradient: ({ inputs: [, places, rowPlaces] }, dy) => [unpad(dy, places, rowPlaces)],
});

/**
 * Rows of real tokens laid out with padding: `rows [tokens, …width]` → `[…places, …width]`. Padding holds zeros where
 * `zeros` is set, otherwise numbers that nobody may look at (the last row's), which costs no copy of the rows.
 *
 * The gradient is `unpad`: it looks at real places alone, so it is exact where nothing flows back from padding. In
 * attention nothing does: a padded key has probability 0, and what a padded query gets is dropped by `unpad`, whose own
 * gradient is 0 there.
 * @param places int32, of any shape (`[sequence, batch]`): each place's row number, -1 at padding.
 * @param rowPlaces int32 `[tokens]`: each row's place, counted row-major over `places`.
 */
export function pad(rows: Value, places: Value, rowPlaces: Value, { zeros = false } = {}): Value {
  return rows.graph.apply(PAD_ROWS, [rows, places, rowPlaces], { zeros });
}

const UNPAD_ROWS = define<[Value, Value, Value]>({
  name: "UnpadRows",
  infer(inputs) {
    const [padded, places, rowPlaces] = inputs;
    requireIndices("UnpadRows", inputs, [places, rowPlaces]);
    const rank = places.shape.length;
    if (!sameShape(padded.shape.slice(0, rank), places.shape) || rowPlaces.shape.length !== 1) {
      fail("UnpadRows", inputs, `takes ${showShape([...places.shape, "…width"])} and a list of places`);
    }
    return [{ dtype: padded.dtype, shape: [...rowPlaces.shape, ...padded.shape.slice(rank)] }];
  },
  onnx({ inputs: [padded, places, rowPlaces], outputs }, emitter) {
    const flat = [product(places.shape), ...padded.shape.slice(places.shape.length)];
    const table = emitReshape(emitter, padded, padded.shape, flat);
    emitter.emit("Gather", [table, rowPlaces], { attributes: { axis: 0 }, outputs });
  },
  gradient: ({ inputs: [, places, rowPlaces] }, dy) => [pad(dy, places, rowPlaces, { zeros: true })],
});

/**
 * The rows of real tokens of what is laid out with padding: `padded […places, …width]` → `[tokens, …width]`; `places`
 * and `rowPlaces` as `pad` takes them. The gradient is `pad` with zeros.
 */
export function unpad(padded: Value, places: Value, rowPlaces: Value): Value {
  return padded.graph.apply(UNPAD_ROWS, [padded, places, rowPlaces], {});
}
