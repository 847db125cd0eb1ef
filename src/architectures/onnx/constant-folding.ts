import type { NetworkNode } from "../../checkpoints/onnx/network.ts";
import { type Dimension, difference, product, quotient, sum } from "../../graph/dimension.ts";
import { elementsOf } from "../../graph/tensor.ts";

/**
 * A small tensor whose elements are known while the graph is written: sizes, axes, indices, single numbers. A size, and
 * values computed from it, may be symbols (`"batch"`).
 */
export interface Known {
  dtype: "float32" | "int64" | "bool";
  shape: readonly number[];
  /** Row-major; a bool is 1 or 0. */
  elements: readonly Dimension[];
}

/** Upper limit on elements that are computed while the graph is written. */
const MAX_ELEMENTS = 2 ** 14;

export const knownList = (elements: readonly Dimension[]): Known => ({
  dtype: "int64",
  shape: [elements.length],
  elements,
});

export function numbersOf({ elements }: Known): number[] | undefined {
  return elements.every((element) => typeof element === "number") ? (elements as number[]) : undefined;
}

type Fold = (inputs: readonly (Known | undefined)[], attributes: NetworkNode["attributes"]) => Known | undefined;

type Element = (a: Dimension, b: Dimension, whole: boolean) => Dimension | undefined;

const numeric =
  (compute: (a: number, b: number, whole: boolean) => number): Element =>
  (a, b, whole) =>
    typeof a === "number" && typeof b === "number" ? compute(a, b, whole) : undefined;

function compare(a: Dimension, b: Dimension): number | undefined {
  const less = difference(a, b);
  if (typeof less === "number") return less;
  if (typeof b === "number" && b <= 0) return 1;
  return typeof a === "number" && a <= 0 ? -1 : undefined;
}

const test =
  (holds: (order: number) => boolean): Element =>
  (a, b) => {
    const order = compare(a, b);
    return order === undefined ? undefined : Number(holds(order));
  };

const larger: Element = (a, b) => {
  const order = compare(a, b);
  // Two symbolic sizes are equal, or one broadcasts from 1.
  return order === undefined ? (a === 1 ? b : b === 1 ? a : undefined) : order >= 0 ? a : b;
};

const ARITHMETIC: Readonly<Record<string, Element>> = {
  Add: (a, b, whole) => (whole ? sum([a, b]) : numeric((x, y) => x + y)(a, b, whole)),
  Sub: (a, b, whole) => (whole ? difference(a, b) : numeric((x, y) => x - y)(a, b, whole)),
  Mul: (a, b, whole) => (whole ? product([a, b]) : numeric((x, y) => x * y)(a, b, whole)),
  Div: (a, b, whole) =>
    (whole ? quotient(a, b) : undefined) ?? numeric((x, y) => (whole ? Math.trunc(x / y) : x / y))(a, b, whole),
  Mod: numeric((a, b) => ((a % b) + b) % b),
  Pow: numeric((a, b) => a ** b),
  Max: larger,
  And: numeric((a, b) => a * b),
  Or: numeric((a, b) => Math.max(a, b)),
};

const TESTS: Readonly<Record<string, Element>> = {
  Equal: (a, b) => (compare(a, b) === undefined ? 0 : Number(compare(a, b) === 0)),
  Greater: test((order) => order > 0),
  Less: test((order) => order < 0),
  GreaterOrEqual: test((order) => order >= 0),
  LessOrEqual: test((order) => order <= 0),
};

function broadcastTogether(inputs: readonly Known[]): { shape: number[]; rows: Dimension[][] } | undefined {
  const rank = Math.max(...inputs.map(({ shape }) => shape.length));
  const sizeAt = ({ shape }: Known, axis: number): number => shape[axis - rank + shape.length] ?? 1;
  const shape = Array.from({ length: rank }, (_, axis) => {
    const sizes = inputs.map((input) => sizeAt(input, axis));
    return sizes.find((size) => size !== 1) ?? 1;
  });
  if (elementsOf(shape) > MAX_ELEMENTS) return undefined;
  const rows = Array.from({ length: elementsOf(shape) }, (_, i) =>
    inputs.map((input) => {
      let place = 0;
      let stride = 1;
      for (let axis = rank - 1, rest = i; axis >= 0; axis--) {
        const at = rest % shape[axis]!;
        rest = Math.floor(rest / shape[axis]!);
        if (sizeAt(input, axis) !== 1) place += at * stride;
        stride *= sizeAt(input, axis);
      }
      return input.elements[place]!;
    }),
  );
  return { shape, rows };
}

function elementwise(compute: Element, dtype?: Known["dtype"]): Fold {
  return ([a, b]) => {
    if (!a || !b) return undefined;
    const together = broadcastTogether([a, b]);
    const elements = together?.rows.map(([x, y]) => compute(x!, y!, a.dtype === "int64"));
    if (!together || !elements || elements.includes(undefined)) return undefined;
    return { dtype: dtype ?? a.dtype, shape: together.shape, elements: elements as Dimension[] };
  };
}

const unaryOfNumbers =
  (compute: (x: number) => number): Fold =>
  ([x]) => {
    const numbers = x && numbersOf(x);
    return x && numbers && { ...x, elements: numbers.map(compute) };
  };

export function axesOf(
  inputs: readonly (Known | undefined)[],
  { axes }: NetworkNode["attributes"],
): number[] | undefined {
  const known = inputs[1] && numbersOf(inputs[1]);
  return known ?? (typeof axes === "object" ? [...axes] : undefined);
}

export function unsqueezed<Size>(shape: readonly Size[], axes: readonly number[]): (Size | 1)[] {
  const rank = shape.length + axes.length;
  const added = new Set(axes.map((axis) => (axis < 0 ? axis + rank : axis)));
  const rest = [...shape];
  return Array.from({ length: rank }, (_, axis) => (added.has(axis) ? 1 : rest.shift()!));
}

export function squeezed<Size extends Dimension>(shape: readonly Size[], axes: readonly number[] | undefined): Size[] {
  const dropped = axes?.map((axis) => (axis < 0 ? axis + shape.length : axis));
  return shape.filter((size, axis) => (dropped ? !dropped.includes(axis) : size !== 1));
}

export function reshaped(
  from: readonly Dimension[],
  to: readonly Dimension[],
  keepsZero: boolean,
): Dimension[] | undefined {
  const kept = to.map((size, axis) => (size === 0 && !keepsZero ? (from[axis] ?? 0) : size));
  if (!kept.includes(-1)) return kept;
  const rest = quotient(product(from), product(kept.filter((size) => size !== -1)));
  return rest === undefined ? undefined : kept.map((size) => (size === -1 ? rest : size));
}

export function sliceBounds(size: Dimension, start: Dimension, end: Dimension): [start: Dimension, end: Dimension] {
  const bound = (at: Dimension): Dimension => {
    const own = typeof at === "number" && at < 0 ? sum([size, at]) : at;
    if (typeof at === "number" && at < -(2 ** 31)) return 0;
    if (typeof own === "number" && own < 0) return 0;
    return typeof own === "number" && own > (typeof size === "number" ? size : 2 ** 31 - 2) ? size : own;
  };
  return [bound(start), bound(end)];
}

const FOLDS: Readonly<Record<string, Fold>> = {
  ...Object.fromEntries(Object.entries(ARITHMETIC).map(([op, compute]) => [op, elementwise(compute)])),
  ...Object.fromEntries(Object.entries(TESTS).map(([op, compute]) => [op, elementwise(compute, "bool")])),
  Identity: ([x]) => x,
  Neg: ([x]) => x && { ...x, elements: x.elements.map((element) => product([-1, element])) },
  Not: unaryOfNumbers((x) => 1 - x),
  Sqrt: unaryOfNumbers(Math.sqrt),
  Floor: unaryOfNumbers(Math.floor),
  Ceil: unaryOfNumbers(Math.ceil),
  Reciprocal: unaryOfNumbers((x) => 1 / x),
  Unsqueeze: (inputs, attributes) => {
    const [x] = inputs;
    const axes = axesOf(inputs, attributes);
    return x && axes && { ...x, shape: unsqueezed(x.shape, axes) };
  },
  Squeeze: (inputs, attributes) =>
    inputs[0] && { ...inputs[0], shape: squeezed(inputs[0].shape, axesOf(inputs, attributes)) },
  Reshape: ([x, to]) => {
    const shape = x && to && reshaped(x.shape, to.elements, false);
    return shape?.every((size) => typeof size === "number") ? { ...x!, shape: shape as number[] } : undefined;
  },
  Concat: (inputs, { axis = 0 }) => {
    const parts = inputs.filter((part) => part !== undefined);
    if (axis !== 0 || parts.length !== inputs.length || parts.some(({ shape }) => shape.length !== 1)) return undefined;
    if (parts.reduce((count, part) => count + part.elements.length, 0) > MAX_ELEMENTS) return undefined;
    const elements = parts.flatMap((part) => part.elements);
    return { dtype: parts[0]!.dtype, shape: [elements.length], elements };
  },
  Gather: ([x, indices], { axis = 0 }) => {
    const at = indices && numbersOf(indices);
    if (!x || !at || at.length > MAX_ELEMENTS || axis !== 0 || x.shape.length !== 1) return undefined;
    const elements = at.map((index) => x.elements.at(index));
    if (elements.includes(undefined)) return undefined;
    return { dtype: x.dtype, shape: indices.shape, elements: elements as Dimension[] };
  },
  Slice: ([x, starts, ends, axes, steps]) => {
    const [start, end] = [starts, ends].map((bounds) => bounds?.elements[0]);
    const [axis, step] = [axes ? axes.elements[0] : 0, steps ? steps.elements[0] : 1];
    if (!x || x.shape.length === 0 || start === undefined || end === undefined) return undefined;
    const [size = 0, ...others] = x.shape;
    const width = elementsOf(others);
    const rows = Array.from({ length: size }, (_, row) => x.elements.slice(row * width, (row + 1) * width));
    const isReversed = step === -1 && start === -1 && typeof end === "number" && end < -size;
    const [from, to] = isReversed ? [0, size] : sliceBounds(size, start, end);
    const isKnown = (axis === 0 || axis === -x.shape.length) && (step === 1 || isReversed);
    if (!isKnown || typeof from !== "number" || typeof to !== "number") return undefined;
    const elements = (isReversed ? rows.reverse() : rows.slice(from, to)).flat();
    return { ...x, shape: [elements.length / width, ...others], elements };
  },
  Transpose: ([x]) => {
    if (x?.shape.length !== 2) return undefined;
    const [rows, columns] = x.shape as [number, number];
    const elements = Array.from(
      { length: rows * columns },
      (_, i) => x.elements[(i % rows) * columns + Math.floor(i / rows)]!,
    );
    return { ...x, shape: [columns, rows], elements };
  },
  Where: ([condition, a, b]) => {
    const together = condition && a && b && broadcastTogether([condition, a, b]);
    if (!together) return undefined;
    return {
      dtype: a.dtype,
      shape: together.shape,
      elements: together.rows.map(([chosen, x, y]) => (chosen ? x! : y!)),
    };
  },
  ReduceProd: ([x], { keepdims = 1 }) =>
    x && { ...x, shape: keepdims === 0 ? [] : [1], elements: [product(x.elements)] },
  Range: ([start, limit, delta]) => {
    const [from, to, step] = [start, limit, delta].map((bound) => bound?.elements[0]);
    if (typeof from !== "number" || typeof to !== "number" || typeof step !== "number" || step === 0) return undefined;
    const count = Math.max(0, Math.ceil((to - from) / step));
    if (count > MAX_ELEMENTS) return undefined;
    return { ...start!, shape: [count], elements: Array.from({ length: count }, (_, i) => from + i * step) };
  },
};

export function fold(
  { op, attributes }: Pick<NetworkNode, "op" | "attributes">,
  inputs: readonly (Known | undefined)[],
): Known | undefined {
  return Object.hasOwn(FOLDS, op) ? FOLDS[op]!(inputs, attributes) : undefined;
}
