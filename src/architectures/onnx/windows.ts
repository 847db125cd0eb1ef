import type { Dimension } from "../../graph/dimension.ts";
import type { ImportedNode } from "./imported-node.ts";

interface Windows {
  kernel: readonly number[];
  strides: readonly number[];
  dilations: readonly number[];
}

/** Returns a node's padding before all axes, then after all axes, explicit or by `auto_pad`. */
export function padding(
  node: ImportedNode,
  space: readonly Dimension[],
  { kernel, strides, dilations }: Windows,
): readonly number[] {
  const reach = kernel.map((size, axis) => (size - 1) * dilations[axis]! + 1);
  // Padding for ceil(size / stride) positions on each axis.
  const same = (round: (half: number) => number): number[] =>
    space.map((size, axis) => {
      if (typeof size !== "number") return node.refuse("a size is not known");
      return round(Math.max(0, (Math.ceil(size / strides[axis]!) - 1) * strides[axis]! + reach[axis]! - size) / 2);
    });
  const { auto_pad = "NOTSET" } = node.attributes;
  const none = [...space, ...space].map(() => 0);
  const pads =
    auto_pad === "SAME_UPPER"
      ? [...same(Math.floor), ...same(Math.ceil)]
      : auto_pad === "SAME_LOWER"
        ? [...same(Math.ceil), ...same(Math.floor)]
        : auto_pad === "VALID"
          ? none
          : (node.list("pads") ?? none);
  if (pads.some((pad, i) => pad >= reach[i % reach.length]!)) node.refuse("more is padded than a kernel reaches");
  return pads;
}
