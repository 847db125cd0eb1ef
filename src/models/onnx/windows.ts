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
 * @throws UserError where more is padded than a kernel reaches
 */
export function padding(
  node: ImportedNode,
  space: readonly number[],
  { kernel, strides, dilations }: Windows,
): readonly number[] {
  const reach = kernel.map((size, axis) => (size - 1) * dilations[axis]! + 1);
  // As many as each axis needs for its places to be its size over the stride.
  const same = space.map((size, axis) =>
    Math.max(0, (Math.ceil(size / strides[axis]!) - 1) * strides[axis]! + reach[axis]! - size),
  );
  const { auto_pad = "NOTSET" } = node.attributes;
  const [less, more] = [Math.floor, Math.ceil].map((round) => same.map((width) => round(width / 2)));
  const none = [...same, ...same].fill(0);
  const pads =
    auto_pad === "SAME_UPPER"
      ? [...less!, ...more!]
      : auto_pad === "SAME_LOWER"
        ? [...more!, ...less!]
        : auto_pad === "VALID"
          ? none
          : (node.list("pads") ?? none);
  if (pads.some((pad, i) => pad >= reach[i % reach.length]!)) node.refuse("more is padded than a kernel reaches");
  return pads;
}
