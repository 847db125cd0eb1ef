import { type Dimension, difference, product, quotient, type Shape, sum, termsOf } from "../dimension.ts";
import type { Value } from "../graph.ts";
import { define, fail, requireType } from "./define.ts";
import { emitAs } from "./emit.ts";
import { reshape, transpose } from "./shape.ts";
import { slice } from "./slices.ts";

/** Where a kernel goes over the axes of space; lists have a number for each of them. */
export type Places = {
  strides: readonly number[];
  /** Elements before all axes, then behind all axes; zeros of a convolution. */
  pads: readonly number[];
  dilations: readonly number[];
};

type Convolution = Places & {
  /** Parts of the channels that are computed apart. */
  groups: number;
};

const onnxAttributes = ({ groups, ...others }: Convolution) => ({ ...others, group: groups });

/** Places of a kernel on an axis of `size`, undefined where they hang on what a symbol is, and the elements at its end that no kernel reaches. */
function placesOf(size: Dimension, kernel: Dimension, axis: number, { strides, pads, dilations }: Places) {
  const [stride, dilation] = [strides[axis]!, dilations[axis]!];
  const reach = product([dilation, difference(kernel, 1)]);
  const room = difference(sum([size, pads[axis]!, pads[axis + strides.length]!, -1]), reach);
  const plain = termsOf(room).find(({ symbols }) => symbols.length === 0)?.coefficient ?? 0;
  const left = ((plain % stride) + stride) % stride;
  const steps = quotient(difference(room, left), stride);
  return { count: steps === undefined ? undefined : sum([steps, 1]), left };
}

/** Places of a kernel on each axis of space. @param name of the op. @throws ShapeError where there are none on an axis, or their number is not known */
export function countsOf(name: string, inputs: readonly Value[], kernel: Shape, places: Places): Dimension[] {
  const { strides, pads, dilations } = places;
  const isWhole = [strides, dilations, pads.slice(kernel.length)].every((list) => list.length === kernel.length);
  return inputs[0]!.shape.slice(2).map((size, axis) => {
    const { count } = isWhole ? placesOf(size, kernel[axis]!, axis, places) : {};
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
    return [{ dtype: "float32", shape: [batch!, out!, ...countsOf("Conv", inputs, kernel, convolution)] }];
  },
  onnx: emitAs("Conv", (convolution) => ({ attributes: onnxAttributes(convolution) })),
  gradient: ({ inputs: [x, weight], attributes }, dy) => [
    x.graph.apply(CONV_TRANSPOSE, [dy, weight], { ...attributes, size: x.shape.slice(2) }),
    weightGradient(x, weight, dy, attributes),
  ],
  macs: ({ inputs: [, weight], outputs: [y] }) => [...y!.shape, ...weight.shape.slice(1)],
});

/**
 * Convolution, as ONNX's Conv: `x [batch, channels, …space]` of one, two or more axes of space whose sizes are numbers, or of which the stride
 * divides what is not one, `weight [out, channels / groups, …kernel]` → `[batch, out, …places of the kernel]`.
 */
export const convolve = (x: Value, weight: Value, convolution: Convolution): Value =>
  x.graph.apply(CONV, [x, weight], convolution);

/** What flows back to `size` elements of each axis. */
const CONV_TRANSPOSE = define<[Value, Value], Convolution & { size: readonly Dimension[] }>({
  name: "ConvTranspose",
  infer: ([{ dtype, shape }, weight], { groups, size }) => [
    { dtype, shape: [shape[0]!, (weight.shape[1] as number) * groups, ...size] },
  ],
  onnx({ inputs: [y, weight], attributes: { size, ...convolution }, outputs }, emitter) {
    const kernel = weight.shape.slice(2) as number[];
    const output_padding = size.map((each, axis) => placesOf(each, kernel[axis]!, axis, convolution).left);
    emitter.emit("ConvTranspose", [y, weight], {
      attributes: { ...onnxAttributes(convolution), output_padding },
      outputs,
    });
  },
});

/**
 * A convolution of `x` by `dy`, whose places take the kernel's part, summed over the batch in place of the channels. Groups of it are
 * the same groups.
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
  // What no kernel reached at an axis' end may make a place too many.
  const exact = kernel.reduce((y, size, axis) => (y.shape[axis + 2] === size ? y : slice(y, axis + 2, 0, size)), whole);
  return transpose(exact, [1, 0, ...axes(2)]);
}
