import { product } from "../../graph/dimension.ts";
import type { Graph, Value } from "../../graph/graph.ts";
import { gemm, reshape, sliceSize, transpose } from "../../graph/ops.ts";
import type { ImportedNode, Importer } from "./imported-node.ts";

/**
 * A convolution whose windows stand side by side, as a model cuts a picture into patches: each patch is a row of a product.
 * `x [batch, channels, height, width]`, weight `[out, channels, rows, columns]`.
 */
function patches(node: ImportedNode): Value {
  const weight = node.value(1);
  const [out, channels, ...kernel] = weight.shape as number[];
  const strides = node.list("strides") ?? kernel.map(() => 1);
  const isWhole = (name: string, value: number): boolean => (node.list(name) ?? []).every((each) => each === value);
  const standSideBySide = strides.length === 2 && strides.every((stride, i) => stride === kernel[i]);
  const isPlain = isWhole("pads", 0) && isWhole("dilations", 1) && node.number("group", 1) === 1;
  if (!standSideBySide || !isPlain || !/^(NOTSET|VALID)$/.test(String(node.attributes.auto_pad ?? "NOTSET")))
    return node.refuse("of convolutions only those that cut a picture into patches are supported");
  const [rows, columns] = kernel as [number, number];
  const x = node.value(0);
  const [batch, , height, width] = x.shape;
  if (typeof height !== "number" || typeof width !== "number")
    return node.refuse("the size of the picture is not known");
  const [down, across] = [Math.floor(height / rows), Math.floor(width / columns)];
  // What is left at the lower and the right edge belongs to no patch.
  const whole = cut(cut(x, 2, down * rows), 3, across * columns);
  const parts = reshape(whole, [batch!, channels!, down, rows, across, columns]);
  const each = reshape(transpose(parts, [0, 2, 4, 1, 3, 5]), [
    product([batch!, down * across]),
    channels! * rows * columns,
  ]);
  const addend = node.optional(2);
  const y = gemm(each, reshape(weight, [out!, channels! * rows * columns]), {
    transB: true,
    ...(addend && { addend }),
  });
  return transpose(reshape(y, [batch!, down, across, out!]), [0, 3, 1, 2]);
}

const cut = (x: Value, axis: number, size: number): Value => (x.shape[axis] === size ? x : sliceSize(x, axis, 0, size));

/** Where an element of the result stands in what is resized, which has `size` elements on this axis. */
type Place = (at: number, scale: number, size: number, to: number) => number;

const PLACES: Readonly<Record<string, Place>> = {
  half_pixel: (at, scale) => (at + 0.5) / scale - 0.5,
  pytorch_half_pixel: (at, scale, _size, to) => (to > 1 ? (at + 0.5) / scale - 0.5 : 0),
  align_corners: (at, _scale, size, to) => (to > 1 ? (at * (size - 1)) / (to - 1) : 0),
  asymmetric: (at, scale) => at / scale,
};

/** How much the neighbours of a place count, by their distance from it. */
const weightOf = {
  linear: (distance: number): number => Math.max(0, 1 - distance),
  /** Keys' cubic convolution. */
  cubic(distance: number, a: number): number {
    if (distance <= 1) return ((a + 2) * distance - (a + 3)) * distance * distance + 1;
    return distance < 2 ? (((distance - 5) * distance + 8) * distance - 4) * a : 0;
  },
};

/** Each element of a resized axis as a sum of those of the axis, `[to, size]`; places beyond an end are that end's. */
function resizing(node: ImportedNode, size: number, to: number, scale: number): number[] {
  const { mode = "nearest", coordinate_transformation_mode: transformation = "half_pixel" } = node.attributes;
  const weigh = Object.hasOwn(weightOf, String(mode)) ? weightOf[mode as keyof typeof weightOf] : undefined;
  const place = Object.hasOwn(PLACES, String(transformation)) ? PLACES[String(transformation)] : undefined;
  const isPlain = node.number("antialias", 0) === 0 && node.number("exclude_outside", 0) === 0;
  if (!weigh || !place || !isPlain) return node.refuse(`it resizes by ${mode}, ${transformation}`);
  const matrix = new Array<number>(to * size).fill(0);
  for (let at = 0; at < to; at++) {
    const from = place(at, scale, size, to);
    for (let near = Math.floor(from) - 1; near <= Math.floor(from) + 2; near++) {
      const column = Math.min(size - 1, Math.max(0, near));
      matrix[at * size + column]! += weigh(Math.abs(from - near), node.number("cubic_coeff_a", -0.75));
    }
  }
  return matrix;
}

/** The last axis resized: a product with a matrix. */
function resizeLast(node: ImportedNode, x: Value, to: number, scale: number): Value {
  const size = x.shape.at(-1);
  if (typeof size !== "number") return node.refuse("its size is not known");
  const graph: Graph = x.graph;
  const matrix = graph.constant(resizing(node, size, to, scale), "float32", [to, size]);
  const rows = reshape(x, [product(x.shape.slice(0, -1)), size]);
  return reshape(gemm(rows, matrix, { transB: true }), [...x.shape.slice(0, -1), to]);
}

/** Height and width of `[batch, channels, height, width]` resized, as models fit their table of positions to a picture. */
const resize: Importer = (node) => {
  const x = node.value(0);
  const given = node.numbers(3)?.slice(2);
  const scales = node.operands[2] && node.shape(2)[0] !== 0 ? node.numbers(2)?.slice(2) : undefined;
  const target = (axis: number): [to: number, scale: number] => {
    const size = x.shape[axis + 2];
    const to = given?.[axis];
    const scale = scales?.[axis];
    if (typeof size !== "number") return node.refuse("its size is not known");
    if (to !== undefined) return [to, to / size];
    return scale === undefined ? node.refuse("its new size is not known") : [Math.floor(size * scale), scale];
  };
  if (x.shape.length !== 4) return node.refuse("it resizes other than height and width");
  const turn = [0, 1, 3, 2];
  const wide = resizeLast(node, x, ...target(1));
  return transpose(resizeLast(node, transpose(wide, turn), ...target(0)), turn);
};

export const PICTURES: Readonly<Record<string, Importer>> = { Conv: patches, Resize: resize };
