import type { Dimension } from "../../graph/dimension.ts";
import type { ImportedNode } from "./imported-node.ts";

/** How a kernel goes over the axes of space. */
interface Windows {
  kernel: readonly number[];
  strides: readonly number[];
  dilations: readonly number[];
}

/**
 * What a node pads before all axes, then behind all axes, as it says or by its `auto_pad`.
 * @param space sizes of the axes
 * @throws UserError where more is padded than a kernel reaches, or by sizes that are no numbers
 */
export function padding(
  node: ImportedNode,
  space: readonly Dimension[],
  { kernel, strides, dilations }: Windows,
): readonly number[] {
  const reach = kernel.map((size, axis) => (size - 1) * dilations[axis]! + 1);
  // As many as each axis needs for its places to be its size over the stride.
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
