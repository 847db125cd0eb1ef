import { product, sameShape, showShape } from "../dimension.ts";
import type { Value } from "../graph.ts";
import { define, fail, requireIndices } from "./define.ts";
import { emitReshape } from "./emit.ts";

const PAD_ROWS = define<[Value, Value, Value], { zeros: boolean }>({
  name: "PadRows",
  infer(inputs) {
    const [rows, paddedRows, rowPositions] = inputs;
    requireIndices("PadRows", inputs, [paddedRows, rowPositions]);
    if (!sameShape(rows.shape.slice(0, 1), rowPositions.shape)) {
      fail("PadRows", inputs, `needs a place for each of ${showShape(rows.shape.slice(0, 1))} rows`);
    }
    return [{ dtype: rows.dtype, shape: [...paddedRows.shape, ...rows.shape.slice(1)] }];
  },
  onnx({ inputs: [rows, paddedRows], attributes: { zeros }, outputs }, emitter) {
    // Row -1 is the last one: the row of zeros if there is one.
    const axis = emitter.int64([0]);
    const table = zeros ? emitter.emit("Pad", [rows, emitter.int64([0, 1]), "", axis]) : rows;
    emitter.emit("Gather", [table, paddedRows], { attributes: { axis: 0 }, outputs });
  },
  gradient: ({ inputs: [, paddedRows, rowPositions] }, dy) => [unpad(dy, paddedRows, rowPositions)],
});

/**
 * Pads rows of real tokens: `rows [tokens, …width]` → `[…positions, …width]`. Padding holds zeros if `zeros` is set,
 * otherwise undefined values (the last row's), which saves a copy of the rows.
 *
 * The gradient is `unpad`, which reads real positions only. It is exact if no gradient flows back from padding. In
 * attention none does: a padded key has probability 0, and `unpad` drops the output of a padded query, with a gradient
 * of 0 there.
 * @param paddedRows int32, of any shape (`[sequence, batch]`): each position's row number, -1 at padding.
 * @param rowPositions int32 `[tokens]`: each row's position, counted row-major over `paddedRows`.
 */
export function pad(rows: Value, paddedRows: Value, rowPositions: Value, { zeros = false } = {}): Value {
  return rows.graph.apply(PAD_ROWS, [rows, paddedRows, rowPositions], { zeros });
}

const UNPAD_ROWS = define<[Value, Value, Value]>({
  name: "UnpadRows",
  infer(inputs) {
    const [padded, paddedRows, rowPositions] = inputs;
    requireIndices("UnpadRows", inputs, [paddedRows, rowPositions]);
    const rank = paddedRows.shape.length;
    if (!sameShape(padded.shape.slice(0, rank), paddedRows.shape) || rowPositions.shape.length !== 1) {
      fail("UnpadRows", inputs, `takes ${showShape([...paddedRows.shape, "…width"])} and a list of positions`);
    }
    return [{ dtype: padded.dtype, shape: [...rowPositions.shape, ...padded.shape.slice(rank)] }];
  },
  onnx({ inputs: [padded, paddedRows, rowPositions], outputs }, emitter) {
    const flat = [product(paddedRows.shape), ...padded.shape.slice(paddedRows.shape.length)];
    const table = emitReshape(emitter, padded, padded.shape, flat);
    emitter.emit("Gather", [table, rowPositions], { attributes: { axis: 0 }, outputs });
  },
  gradient: ({ inputs: [, paddedRows, rowPositions] }, dy) => [pad(dy, paddedRows, rowPositions, { zeros: true })],
});

/**
 * Drops padding: `padded […positions, …width]` → `[tokens, …width]`. `paddedRows` and `rowPositions` are those of
 * `pad`. The gradient is `pad` with zeros.
 */
export function unpad(padded: Value, paddedRows: Value, rowPositions: Value): Value {
  return padded.graph.apply(UNPAD_ROWS, [padded, paddedRows, rowPositions], {});
}
