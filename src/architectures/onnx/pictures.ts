import { type Dimension, product } from "../../graph/dimension.ts";
import type { Graph, Value } from "../../graph/graph.ts";
import { add, convolve, div, gemm, mul, reshape, sliceSize, sqrt, sub, transpose } from "../../graph/ops.ts";
import type { ImportedNode, Importer } from "./imported-node.ts";
import { padding } from "./windows.ts";

/** Convolution: `x [batch, channels, …space]`, weight `[out, channels / groups, …kernel]`. */
const convolution: Importer = (node) => {
  const [x, weight, bias] = [node.value(0), node.value(1), node.optional(2)];
  const [out, , ...kernel] = weight.shape as number[];
  const ones = kernel.map(() => 1);
  const [strides, dilations] = [node.list("strides") ?? ones, node.list("dilations") ?? ones];
  const pads = padding(node, x.shape.slice(2), { kernel, strides, dilations });
  const groups = node.number("group", 1);
  const hasNoOverlap = kernel.length === 2 && strides.every((stride, axis) => stride === kernel[axis]);
  if (hasNoOverlap && groups === 1 && pads.every((pad) => pad === 0) && dilations.every((each) => each === 1))
    return patches(x, weight, bias);
  const y = convolve(x, weight, { strides, pads, dilations, groups });
  return bias ? add(y, reshape(bias, [out!, ...ones])) : y;
};

/**
 * A convolution without overlaps, as models split a picture into patches: each patch is a row of a product. `x [batch,
 * channels, height, width]`, weight `[out, channels, rows, columns]`.
 */
function patches(x: Value, weight: Value, addend: Value | undefined): Value {
  const [out, channels, rows, columns] = weight.shape as [number, number, number, number];
  const [batch, , height, width] = x.shape as [Dimension, number, number, number];
  const [down, across] = [Math.floor(height / rows), Math.floor(width / columns)];
  // Pixels left over at the lower and the right edge belong to no patch.
  const whole = cut(cut(x, 2, down * rows), 3, across * columns);
  const parts = reshape(whole, [batch, channels, down, rows, across, columns]);
  const size = channels * rows * columns;
  const each = reshape(transpose(parts, [0, 2, 4, 1, 3, 5]), [product([batch, down * across]), size]);
  const y = gemm(each, reshape(weight, [out, size]), { transB: true, addend });
  return transpose(reshape(y, [batch, down, across, out]), [0, 3, 1, 2]);
}

const cut = (x: Value, axis: number, size: number): Value => (x.shape[axis] === size ? x : sliceSize(x, axis, 0, size));

/** Returns the source coordinate of a resized element, on an axis of `size` elements. */
type Coordinate = (at: number, scale: number, size: number, to: number) => number;

const COORDINATES: Readonly<Record<string, Coordinate>> = {
  half_pixel: (at, scale) => (at + 0.5) / scale - 0.5,
  pytorch_half_pixel: (at, scale, _size, to) => (to > 1 ? (at + 0.5) / scale - 0.5 : 0),
  align_corners: (at, _scale, size, to) => (to > 1 ? (at * (size - 1)) / (to - 1) : 0),
  asymmetric: (at, scale) => at / scale,
};

const weightOf = {
  linear: (distance: number): number => Math.max(0, 1 - distance),
  /** Keys' cubic convolution. */
  cubic(distance: number, a: number): number {
    if (distance <= 1) return ((a + 2) * distance - (a + 3)) * distance * distance + 1;
    return distance < 2 ? (((distance - 5) * distance + 8) * distance - 4) * a : 0;
  },
};

const NEAREST: Readonly<Record<string, (coordinate: number) => number>> = {
  round_prefer_floor: (coordinate) => Math.ceil(coordinate - 0.5),
  round_prefer_ceil: (coordinate) => Math.floor(coordinate + 0.5),
  floor: Math.floor,
  ceil: Math.ceil,
};

/** Returns a resize's matrix, `[to, size]`, of weights of source elements; coordinates beyond an end use that end's. */
function resizeMatrix(node: ImportedNode, size: number, to: number, scale: number): number[] {
  const { mode = "nearest", coordinate_transformation_mode: transformation = "half_pixel" } = node.attributes;
  const weigh = Object.hasOwn(weightOf, String(mode)) ? weightOf[mode as keyof typeof weightOf] : undefined;
  const round = mode === "nearest" ? NEAREST[String(node.attributes.nearest_mode ?? "round_prefer_floor")] : undefined;
  const coordinate = Object.hasOwn(COORDINATES, String(transformation))
    ? COORDINATES[String(transformation)]
    : undefined;
  const isPlain = node.number("antialias", 0) === 0 && node.number("exclude_outside", 0) === 0;
  if (!(weigh || round) || !coordinate || !isPlain) return node.refuse(`it resizes by ${mode}, ${transformation}`);
  const matrix = new Array<number>(to * size).fill(0);
  for (let at = 0; at < to; at++) {
    const from = coordinate(at, scale, size, to);
    const add = (near: number, weight: number): void => {
      matrix[at * size + Math.min(size - 1, Math.max(0, near))]! += weight;
    };
    if (round) add(round(from), 1);
    for (let near = Math.floor(from) - 1; weigh && near <= Math.floor(from) + 2; near++) {
      add(near, weigh(Math.abs(from - near), node.number("cubic_coeff_a", -0.75)));
    }
  }
  return matrix;
}

function resizeLast(node: ImportedNode, x: Value, to: number, scale: number): Value {
  const size = x.shape.at(-1);
  if (typeof size !== "number") return node.refuse("its size is not known");
  const graph: Graph = x.graph;
  const matrix = graph.constant(resizeMatrix(node, size, to, scale), "float32", [to, size]);
  const rows = reshape(x, [product(x.shape.slice(0, -1)), size]);
  return reshape(gemm(rows, matrix, { transB: true }), [...x.shape.slice(0, -1), to]);
}

/** Resizes `[batch, channels, height, width]`, as models fit their position embeddings to a picture. */
const resize: Importer = (node) => {
  const x = node.value(0);
  const given = node.elements(3)?.slice(2);
  const scales = node.operands[2] && node.shape(2)[0] !== 0 ? node.numbers(2)?.slice(2) : undefined;
  const target = (axis: number): [to: number, scale: number] => {
    const size = x.shape[axis + 2];
    const to = given?.[axis];
    const scale = scales?.[axis];
    if (typeof size !== "number") return node.refuse("its size is not known");
    if (typeof to === "number") return [to, to / size];
    return scale === undefined ? node.refuse("its new size is not known") : [Math.floor(size * scale), scale];
  };
  if (x.shape.length !== 4) return node.refuse("it resizes other than height and width");
  const turn = [0, 1, 3, 2];
  const wide = resizeLast(node, x, ...target(1));
  return transpose(resizeLast(node, transpose(wide, turn), ...target(0)), turn);
};

/** Normalises by the stored mean and variance of training: `x [batch, channels, …space]`, the others `[channels]`. */
const batchNormalization: Importer = (node) => {
  const x = node.value(0);
  if (node.number("training_mode", 0) === 1) return node.refuse("it normalises by the statistics of each batch");
  const [scale, bias, mean, variance] = [1, 2, 3, 4].map((index) => {
    const own = node.value(index);
    return reshape(own, [...own.shape, ...x.shape.slice(2).map(() => 1)]);
  });
  const factor = div(scale!, sqrt(add(variance!, node.number("epsilon", 1e-5))));
  return add(mul(x, factor), sub(bias!, mul(mean!, factor)));
};

export const PICTURES: Readonly<Record<string, Importer>> = {
  BatchNormalization: batchNormalization,
  Conv: convolution,
  Resize: resize,
};
