import type { Dimension, Shape } from "../dimension.ts";
import { ELEMENT_TYPE, Value } from "../graph.ts";
import { define, fail, requireIndices } from "./define.ts";
import { emitAs } from "./emit.ts";
import type { StoredWeight, TableFormat } from "./weight-format.ts";

const GATHER = define<[Value, Value]>({
  name: "Gather",
  infer(inputs) {
    const [table, indices] = inputs;
    if (table.shape.length < 1) fail("Gather", inputs, "looks up rows of a table");
    requireIndices("Gather", inputs, [indices]);
    return [{ dtype: table.dtype, shape: [...indices.shape, ...table.shape.slice(1)] }];
  },
  onnx: emitAs("Gather", () => ({ attributes: { axis: 0 } })),
  gradient: ({ inputs: [table, indices] }, dy) => [
    dy.graph.apply(SCATTER_ROWS, [dy, indices, dy.graph.constant([0], dy.dtype)], { rows: table.shape[0]! }),
  ],
  rows: ({ inputs: [table, indices] }, rowsOf) => gather(table, rowsOf(indices)),
});

/** Looks up rows of a table: `table [rows, …width]`, `indices [...]` → `[..., …width]`. */
export const gather = (table: Value, indices: Value): Value => table.graph.apply(GATHER, [table, indices], {});

/** Looks up rows of a table `[rows, width]` in any format: `indices [...]` → `[..., width]`. Only float32 can train. */
export function lookup(table: Value | StoredWeight<TableFormat>, indices: Value): Value {
  return table instanceof Value ? gather(table, indices) : table.format.lookup(table.parts, indices);
}

/** Adds rows at `indices` to a table of `rows`. Operands: rows, indices, and a scalar 0 or a table to start from. */
const SCATTER_ROWS = define<[Value, Value, Value], { rows: Dimension }>({
  name: "ScatterND",
  infer: ([updates, indices], { rows }) => [
    { dtype: updates.dtype, shape: [rows, ...updates.shape.slice(indices.shape.length)] },
  ],
  onnx({ inputs: [updates, indices, start], outputs }, emitter) {
    const [{ shape }] = outputs as [Value];
    const table = start.shape.length > 0 ? start : emitter.emit("Expand", [start, emitter.shapeTensor(shape)]);
    const wide = emitter.emit("Cast", [indices], { attributes: { to: ELEMENT_TYPE.int64 } });
    const rows = emitter.emit("Unsqueeze", [wide, emitter.int64([-1])]);
    emitter.emit("ScatterND", [table, rows, updates], { attributes: { reduction: "add" }, outputs });
  },
  accumulate: ({ inputs: [updates, indices, start], attributes }, addend): Value | undefined =>
    start.shape.length > 0 ? undefined : updates.graph.apply(SCATTER_ROWS, [updates, indices, addend], attributes),
});

const GATHER_ELEMENTS = define<[Value, Value], { axis: number }>({
  name: "GatherElements",
  infer(inputs, { axis }) {
    const [x, indices] = inputs;
    requireIndices("GatherElements", inputs, [indices]);
    const fits = x.shape.length === indices.shape.length && x.shape[axis] !== undefined;
    if (!fits) fail("GatherElements", inputs, "takes indices for each element along an axis");
    return [{ dtype: x.dtype, shape: indices.shape }];
  },
  onnx: emitAs("GatherElements", ({ axis }) => ({ attributes: { axis } })),
  gradient: ({ inputs: [x, indices], attributes: { axis } }, dy) => [scatterElements(dy, indices, axis, x.shape)],
});

/** Picks elements along an axis by index: `x [..., size, ...]`, `indices [..., chosen, ...]` → `[..., chosen, ...]`. */
export const gatherElements = (x: Value, indices: Value, axis: number): Value =>
  x.graph.apply(GATHER_ELEMENTS, [x, indices], { axis });

const SCATTER_ELEMENTS = define<[Value, Value], { axis: number; shape: Shape }>({
  name: "ScatterElements",
  infer: ([updates], { shape }) => [{ dtype: updates.dtype, shape }],
  onnx({ inputs: [updates, indices], attributes: { axis, shape }, outputs }, emitter) {
    const zeros = emitter.emit("Expand", [emitter.scalar(updates.dtype, 0), emitter.shapeTensor(shape)]);
    emitter.emit("ScatterElements", [zeros, indices, updates], { attributes: { axis, reduction: "add" }, outputs });
  },
});

/** Adds elements to zeros of a shape, each at its own index along an axis; no gradient flows. */
export const scatterElements = (x: Value, indices: Value, axis: number, shape: Shape): Value =>
  x.graph.apply(SCATTER_ELEMENTS, [x, indices], { axis, shape });
