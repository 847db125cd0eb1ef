import { type Dimension, difference, product, quotient, type Shape, sum, termsOf } from "../dimension.ts";
import type { Value } from "../graph.ts";
import { define, fail, requireType } from "./define.ts";
import { emitAs } from "./emit.ts";
import { reshape, transpose } from "./shape.ts";
import { slice } from "./slices.ts";

/** Strides, padding and dilations of a kernel; each list has one number per spatial axis. */
export type Places = {
  strides: readonly number[];
  /** Padding before all axes, then after all axes; a convolution pads with zeros. */
  pads: readonly number[];
  dilations: readonly number[];
};

/** How a convolution moves over its input. */
export type Convolution = Places & {
  groups: number;
};

const onnxAttributes = ({ groups, ...others }: Convolution) => ({ ...others, group: groups });

/** Number of kernel positions on an axis (undefined if it depends on a symbol), and of elements left over at the end. */
function positionsOf(size: Dimension, kernel: Dimension, axis: number, { strides, pads, dilations }: Places) {
  const [stride, dilation] = [strides[axis]!, dilations[axis]!];
  const reach = product([dilation, difference(kernel, 1)]);
  const room = difference(sum([size, pads[axis]!, pads[axis + strides.length]!, -1]), reach);
  const plain = termsOf(room).find(({ symbols }) => symbols.length === 0)?.coefficient ?? 0;
  const left = ((plain % stride) + stride) % stride;
  const steps = quotient(difference(room, left), stride);
  return { count: steps === undefined ? undefined : sum([steps, 1]), left };
}

/** Returns the kernel positions per spatial axis. @param name of the op. @throws ShapeError if there are none or unknown */
export function positionCounts(name: string, inputs: readonly Value[], kernel: Shape, places: Places): Dimension[] {
  const { strides, pads, dilations } = places;
  const isWhole = [strides, dilations, pads.slice(kernel.length)].every((list) => list.length === kernel.length);
  return inputs[0]!.shape.slice(2).map((size, axis) => {
    const { count } = isWhole ? positionsOf(size, kernel[axis]!, axis, places) : {};
    if (typeof count === "string" || (Number.isSafeInteger(count) && count! > 0)) return count!;
    return fail(name, inputs, "the kernel has no place on an axis, or its size is not known");
  });
}

const CONV = define<[Value, Value], Convolution>({
  name: "Conv",
  infer(inputs, convolution) {
    requireType("Conv", inputs, ["float32"]);
    const [batch, channels, ...space] = inputs[0].shape;
    const [out, own, ...kernel] = inputs[1].shape;
    const { groups } = convolution;
    if (
      kernel.length === 0 ||
      space.length !== kernel.length ||
      channels !== product([own!, groups]) ||
      quotient(out!, groups) === undefined
    )
      fail("Conv", inputs, `takes [batch, channels, …space] and [out, channels / ${groups}, …kernel]`);
    return [{ dtype: "float32", shape: [batch!, out!, ...positionCounts("Conv", inputs, kernel, convolution)] }];
  },
  onnx: emitAs("Conv", (convolution) => ({ attributes: onnxAttributes(convolution) })),
  gradient: ({ inputs: [x, weight], attributes }, dy) => [
    x.graph.apply(CONV_TRANSPOSE, [dy, weight], { ...attributes, size: x.shape.slice(2) }),
    weightGradient(x, weight, dy, attributes),
  ],
  macs: ({ inputs: [, weight], outputs: [y] }) => [...y!.shape, ...weight.shape.slice(1)],
});

/**
 * Convolution, as ONNX's Conv: `x [batch, channels, …space]`, `weight [out, channels / groups, …kernel]` → `[batch,
 * out, …positions]`. A spatial size with a symbol must give a number of positions that the stride divides.
 */
export const convolve = (x: Value, weight: Value, convolution: Convolution): Value =>
  x.graph.apply(CONV, [x, weight], convolution);

/** Gradient of a convolution's input, whose spatial axes have these sizes. */
const CONV_TRANSPOSE = define<[Value, Value], Convolution & { size: readonly Dimension[] }>({
  name: "ConvTranspose",
  infer: ([{ dtype, shape }, weight], { groups, size }) => [
    { dtype, shape: [shape[0]!, (weight.shape[1] as number) * groups, ...size] },
  ],
  onnx({ inputs: [y, weight], attributes: { size, ...convolution }, outputs }, emitter) {
    const kernel = weight.shape.slice(2) as number[];
    const output_padding = size.map((each, axis) => positionsOf(each, kernel[axis]!, axis, convolution).left);
    emitter.emit("ConvTranspose", [y, weight], {
      attributes: { ...onnxAttributes(convolution), output_padding },
      outputs,
    });
  },
});

/**
 * Gradient of the weight: a convolution of `x` with `dy` as its kernel, summed over the batch instead of the channels,
 * in the same groups.
 */
function weightGradient(x: Value, weight: Value, dy: Value, { strides, dilations, groups, pads }: Convolution): Value {
  const [batch, , ...space] = x.shape;
  const [own, ...kernel] = weight.shape.slice(1) as number[];
  const axes = (from: number) => space.map((_, axis) => from + axis);
  const grouped = transpose(reshape(x, [batch!, groups, own!, ...space]), [2, 1, 0, ...axes(3)]);
  const kernels = transpose(dy, [1, 0, ...axes(2)]);
  const whole = convolve(reshape(grouped, [own!, product([groups, batch!]), ...space]), kernels, {
    strides: dilations,
    dilations: strides,
    pads,
    groups,
  });
  // Elements at an axis' end that no position covers may give a position too many.
  const exact = kernel.reduce((y, size, axis) => (y.shape[axis + 2] === size ? y : slice(y, axis + 2, 0, size)), whole);
  return transpose(exact, [1, 0, ...axes(2)]);
}
