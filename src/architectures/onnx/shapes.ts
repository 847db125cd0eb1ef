import { broadcast, type Dimension, difference, product, sum } from "../../graph/dimension.ts";
import type { Value } from "../../graph/graph.ts";
import {
  add,
  concat,
  expand,
  gather,
  gatherElements,
  gatherND,
  padTo,
  range,
  reshape,
  sliceSize,
  sub,
  transpose,
} from "../../graph/ops.ts";
import { elementsOf } from "../../graph/tensor.ts";
import { axesOf, type Known, knownList, reshaped, sliceBounds, squeezed, unsqueezed } from "./constant-folding.ts";
import { asValue, type ImportedNode, type Importer, isValue, type Operand } from "./imported-node.ts";

const shapeOf: Importer = (node) => {
  const shape = node.shape(0);
  const end = node.attributes.end;
  return knownList(shape.slice(node.number("start", 0), typeof end === "number" ? end : undefined));
};

const knownOperands = (node: ImportedNode): (Known | undefined)[] =>
  node.operands.map((operand) => (isValue(operand) ? undefined : operand));

function reshapeTo(node: ImportedNode): Operand {
  const x = node.value(0);
  const to = node.elements(1) ?? node.list("shape") ?? [];
  const shape = reshaped(x.shape, to, node.number("allowzero", 0) === 1);
  return shape ? reshape(x, shape) : node.refuse(`[${x.shape.join(", ")}] cannot become [${to.join(", ")}]`);
}

const unsqueeze: Importer = (node) => {
  const axes = axesOf(knownOperands(node), node.attributes) ?? node.refuse("its axes are not known");
  return reshape(node.value(0), unsqueezed(node.shape(0), axes));
};

const squeeze: Importer = (node) =>
  reshape(node.value(0), squeezed(node.shape(0), axesOf(knownOperands(node), node.attributes)));

const flatten: Importer = (node) => {
  const x = node.value(0);
  const axis = node.number("axis", 1);
  const at = axis < 0 ? axis + x.shape.length : axis;
  const sizes = [x.shape.slice(0, at), x.shape.slice(at)].map((part) => reshaped(part, [-1], true)?.[0]);
  return sizes.includes(undefined) ? node.refuse("its sizes are not known") : reshape(x, sizes as Dimension[]);
};

const broadcastTo: Importer = (node) => {
  const x = node.value(0);
  const shape = broadcast(x.shape, node.elements(1) ?? []);
  return shape ? expand(x, shape) : node.refuse(`[${x.shape.join(", ")}] does not broadcast`);
};

const join: Importer = (node) => {
  const values = node.operands.map((_, i) => node.value(i));
  return concat(values, node.axis(node.number("axis", 0), values[0]!.shape.length));
};

const slice: Importer = (node) => {
  const [starts, ends] = [node.elements(1) ?? node.list("starts"), node.elements(2) ?? node.list("ends")];
  const axes = node.numbers(3) ?? node.list("axes");
  const steps = node.numbers(4) ?? [];
  if (!starts || !ends || steps.some((step) => step !== 1)) return node.refuse("it takes steps other than 1");
  return starts.reduce<Value>((x, start, i) => {
    const axis = node.axis(axes?.[i] ?? i, x.shape.length);
    const [from, to] = sliceBounds(x.shape[axis]!, start, ends[i]!);
    return from === 0 && to === x.shape[axis] ? x : sliceSize(x, axis, from, difference(to, from));
  }, node.value(0));
};

const split: Importer = (node) => {
  const x = node.value(0);
  const axis = node.axis(node.number("axis", 0), x.shape.length);
  const count = node.number("num_outputs", node.node.outputs.length);
  const size = x.shape[axis]!;
  const even = typeof size === "number" ? Array<number>(count).fill(Math.ceil(size / count)) : undefined;
  const sizes = node.elements(1) ?? node.list("split") ?? even ?? node.refuse("the sizes of its parts are not known");
  let start: Dimension = 0;
  return sizes.map((part) => {
    const from = start;
    start = sum([from, part]);
    return sliceSize(x, axis, from, part);
  });
};

const lookUp: Importer = (node) => {
  const { graph } = node;
  const [table, indices] = node.operands;
  if (!table || !indices) return node.refuse("an input is missing");
  const x = asValue(graph, table);
  const axis = node.axis(node.number("axis", 0), x.shape.length);
  if (!isValue(indices) && elementsOf(indices.shape) === 1) {
    const at = indices.elements[0]!;
    const row = typeof at === "number" && at < 0 ? sum([x.shape[axis]!, at]) : at;
    const shape = [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)];
    return reshape(sliceSize(x, axis, row, 1), shape);
  }
  return rowsOf(x, axis, asValue(graph, indices));
};

function rowsOf(x: Value, axis: number, rows: Value): Value {
  const others = x.shape.map((_, i) => i).filter((i) => i !== axis);
  const front = axis === 0 ? x : transpose(x, [axis, ...others]);
  const found = gather(front, rows);
  if (axis === 0) return found;
  const rank = rows.shape.length;
  const own = Array.from({ length: rank }, (_, i) => i);
  return transpose(found, [
    ...others.slice(0, axis).map((_, i) => rank + i),
    ...own,
    ...others.slice(axis).map((_, i) => rank + axis + i),
  ]);
}

const rangeTo: Importer = (node) => {
  const [start] = node.elements(0) ?? [];
  const [limit = 0] = node.elements(1) ?? [];
  const [step] = node.elements(2) ?? [];
  return start === 0 && step === 1 ? range(node.graph, limit) : node.refuse("it does not count from 0 in steps of 1");
};

const constantOfShape: Importer = (node) => {
  const shape = node.elements(0) ?? [];
  const [value = 0] = node.list("value") ?? [];
  const type = String(node.attributes["value:type"] ?? "F32");
  const dtype = type === "BOOL" ? "bool" : /^[IU]/.test(type) ? "int64" : "float32";
  const isSmall = shape.every((size) => typeof size === "number") && elementsOf(shape as number[]) <= 4096;
  if (isSmall)
    return { dtype, shape: shape as number[], elements: Array<number>(elementsOf(shape as number[])).fill(value) };
  return expand(node.graph.constant([value], dtype), shape);
};

const tile: Importer = (node) => {
  const repeats = node.elements(1) ?? [];
  return repeats.reduce<Value>((x, count, axis) => {
    if (count === 1) return x;
    const [before, size, behind] = [x.shape.slice(0, axis), x.shape[axis]!, x.shape.slice(axis + 1)];
    const copies = expand(reshape(x, [...before, 1, size, ...behind]), [...before, count, size, ...behind]);
    return reshape(copies, [...before, product([count, size]), ...behind]);
  }, node.value(0));
};

/** Index of the element that padding repeats, by mode, on an axis of `size`. */
const PADDING_MODES: Readonly<Record<string, (place: number, size: number) => number>> = {
  edge: (place, size) => Math.min(size - 1, Math.max(0, place)),
  reflect: (place, size) => size - 1 - Math.abs(size - 1 - Math.abs(place)),
};

const pad: Importer = (node) => {
  const pads = node.elements(1) ?? node.list("pads") ?? [];
  const [value = 0] = node.numbers(2) ?? [node.number("value", 0)];
  const mode = String(node.attributes.mode ?? "constant");
  const x = node.value(0);
  const axes = node.numbers(3) ?? x.shape.map((_, axis) => axis);
  const beside = Object.hasOwn(PADDING_MODES, mode) ? PADDING_MODES[mode] : undefined;
  if (!beside && mode !== "constant") return node.refuse(`it pads by ${mode}`);
  const isZero = value === 0 || beside;
  const padded = axes.reduce<Value>(
    (padded, axis, i) => {
      const [before, behind] = [pads[i]!, pads[i + axes.length]!];
      if (before === 0 && behind === 0) return padded;
      const at = node.axis(axis, x.shape.length);
      const size = padded.shape[at]!;
      if (!beside) return padTo(padded, at, before, sum([before, size, behind]));
      if ([before, behind, size].some((each) => typeof each !== "number")) return node.refuse("a size is not known");
      const places = Array.from({ length: sum([before, size, behind]) as number }, (_, place) =>
        beside(place - (before as number), size as number),
      );
      return rowsOf(padded, at, node.graph.constant(places, "int64", [places.length]));
    },
    isZero ? x : sub(x, value),
  );
  return isZero ? padded : add(padded, value);
};

export const SHAPES: Readonly<Record<string, Importer>> = {
  Shape: shapeOf,
  Size: (node) => ({ dtype: "int64", shape: [], elements: reshaped(node.shape(0), [-1], true) ?? [] }),
  Reshape: reshapeTo,
  Unsqueeze: unsqueeze,
  Squeeze: squeeze,
  Flatten: flatten,
  Expand: broadcastTo,
  Concat: join,
  Slice: slice,
  Split: split,
  Tile: tile,
  Gather: lookUp,
  GatherElements: (node) =>
    gatherElements(node.value(0), node.value(1), node.axis(node.number("axis", 0), node.shape(0).length)),
  GatherND: (node) =>
    node.number("batch_dims", 0) === 0 ? gatherND(node.value(0), node.value(1)) : node.refuse("it gathers by batch"),
  Transpose: (node) => {
    const x = node.value(0);
    return transpose(x, node.list("perm") ?? x.shape.map((_, axis) => axis).reverse());
  },
  Range: rangeTo,
  ConstantOfShape: constantOfShape,
  Pad: pad,
};
