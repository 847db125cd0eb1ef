import { product } from "../../graph/dimension.ts";
import type { Value } from "../../graph/graph.ts";
import { convolve, maxPool, mul, type Pooling, reduceSum, reshape } from "../../graph/ops.ts";
import type { ImportedNode, Importer } from "./imported-node.ts";
import { padding } from "./windows.ts";

const spaceOf = (node: ImportedNode): number[] =>
  node
    .shape(0)
    .slice(2)
    .map((size) => (typeof size === "number" ? size : node.refuse("a size is not known")));

/** Returns a node's windows. If it rounds their number up, padding is added at the end. */
function poolingOf(node: ImportedNode): Pooling {
  const space = spaceOf(node);
  const kernel = node.list("kernel_shape") ?? node.refuse("its kernel_shape is missing");
  const ones = kernel.map(() => 1);
  const [strides, dilations] = [node.list("strides") ?? ones, node.list("dilations") ?? ones];
  const pads = [...padding(node, space, { kernel, strides, dilations })];
  if (node.number("ceil_mode", 0) === 1) {
    space.forEach((size, axis) => {
      const [stride, behind] = [strides[axis]!, axis + space.length];
      const room = size + pads[axis]! + pads[behind]! - (kernel[axis]! - 1) * dilations[axis]! - 1;
      const start = (Math.floor(room / stride) + 1) * stride;
      // A window that would begin after the last element does not exist.
      if (room % stride !== 0 && start < size + pads[axis]!) pads[behind]! += stride - (room % stride);
    });
  }
  return { kernel, strides, dilations, pads };
}

/** Counts the elements of an axis, with padding if the node includes it, in each window. */
function positionCounts(node: ImportedNode, axis: number, { kernel, strides, dilations, pads }: Pooling): number[] {
  const size = spaceOf(node)[axis]!;
  const rank = kernel.length;
  const padded = node.number("count_include_pad", 0) === 1 ? (node.list("pads") ?? pads) : [];
  const [begin, end] = [-(padded[axis] ?? 0), size + (padded[axis + rank] ?? 0)];
  const reach = (kernel[axis]! - 1) * dilations[axis]! + 1;
  const places = Math.floor((size + pads[axis]! + pads[axis + rank]! - reach) / strides[axis]!) + 1;
  return Array.from({ length: places }, (_, place) => {
    const first = place * strides[axis]! - pads[axis]!;
    const at = Array.from({ length: kernel[axis]! }, (_, i) => first + i * dilations[axis]!);
    return at.filter((each) => each >= begin && each < end).length;
  });
}

const averagePool: Importer = (node) => {
  const pooling = poolingOf(node);
  const { kernel, ...places } = pooling;
  const x = node.value(0);
  const [batch, channels, ...space] = x.shape;
  const ones = Array<number>(product(kernel) as number).fill(1);
  const weight = node.graph.constant(ones, "float32", [1, 1, ...kernel]);
  const each = reshape(x, [product([batch!, channels!]), 1, ...space]);
  const sums = convolve(each, weight, { ...places, groups: 1 });
  const counts = space.map((_, axis) => positionCounts(node, axis, pooling));
  const shares = counts.reduce<number[]>((all, own) => all.flatMap((a) => own.map((b) => a / b)), [1]);
  const y = mul(sums, node.graph.constant(shares, "float32", [1, 1, ...counts.map(({ length }) => length)]));
  return reshape(y, [batch!, channels!, ...y.shape.slice(2)]);
};

const largest: Importer = (node) => {
  if (node.node.outputs.length > 1) node.refuse("its places are asked for");
  return maxPool(node.value(0), poolingOf(node));
};

const global =
  (pool: (x: Value, space: readonly number[]) => Value): Importer =>
  (node) =>
    pool(node.value(0), spaceOf(node));

export const POOLING: Readonly<Record<string, Importer>> = {
  AveragePool: averagePool,
  MaxPool: largest,
  GlobalAveragePool: global((x, space) =>
    mul(
      reduceSum(
        x,
        space.map((_, axis) => axis + 2),
        true,
      ),
      1 / space.reduce((count, size) => count * size, 1),
    ),
  ),
  GlobalMaxPool: global((x, kernel) => {
    const ones = kernel.map(() => 1);
    return maxPool(x, { kernel, strides: ones, dilations: ones, pads: [...kernel, ...kernel].fill(0) });
  }),
};
