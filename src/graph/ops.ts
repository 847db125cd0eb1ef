import { broadcast, type Dimension, product, type Shape, ShapeError, sameShape, showShape } from "./dimension.ts";
import { ELEMENT_TYPE, type GraphNode, type Value } from "./graph.ts";
import type { OnnxEmitter, OnnxNodeOptions, Op } from "./op.ts";
import type { DataType } from "./tensor.ts";

/** Domain of ONNX Runtime's own ops. */
const MICROSOFT = "com.microsoft";

/** A value, or a number that stands for a scalar of the other operand's type. */
export type Operand = Value | number;

/** Every op by its ONNX name. An op is one entry here. */
export const ops: ReadonlyMap<string, Op> = new Map<string, Op>();

function define(op: Op): Op {
  (ops as Map<string, Op>).set(op.name, op);
  return op;
}

function fail(name: string, inputs: readonly Value[], reason: string): never {
  const operands = inputs.map((input) => `${input.label} ${input.dtype}${showShape(input.shape)}`).join(", ");
  throw new ShapeError(`${name}: ${reason} (operands: ${operands})`);
}

function requireType(name: string, inputs: readonly Value[], allowed: readonly DataType[]): void {
  const [first] = inputs;
  if (inputs.some((input) => input.dtype !== first!.dtype)) fail(name, inputs, "the operands' types differ");
  if (!allowed.includes(first!.dtype)) fail(name, inputs, `takes ${allowed.join(" or ")}`);
}

const FLOATS: readonly DataType[] = ["float32", "float64"];
const NUMBERS: readonly DataType[] = ["float32", "float64", "int32", "int64"];

/** ONNX form of an op that is one ONNX node with the same inputs. */
function emitAs(opType: string, options: (node: GraphNode) => OnnxNodeOptions = () => ({})): Op["onnx"] {
  return (node, emitter) => {
    emitter.emit(
      opType,
      node.inputs.map((input) => emitter.nameOf(input)),
      { ...options(node), outputs: node.outputs.map((output) => emitter.nameOf(output)) },
    );
  };
}

function lift(operand: Operand, other: Operand): Value {
  if (typeof operand !== "number") return operand;
  const like = other as Value;
  return like.graph.constant([operand], like.dtype);
}

/** Sums a gradient over the axes along which the input was broadcast. */
function unbroadcast(gradient: Value, shape: Shape): Value {
  if (sameShape(gradient.shape, shape)) return gradient;
  const extra = gradient.shape.length - shape.length;
  const axes = gradient.shape.flatMap((dimension, axis) =>
    axis < extra || (shape[axis - extra] === 1 && dimension !== 1) ? [axis] : [],
  );
  return reshape(reduceSum(gradient, axes, true), shape);
}

// ---------------------------------------------------------------- element-wise, two operands

function defineBinary(
  name: string,
  allowed: readonly DataType[],
  gradient: (a: Value, b: Value, y: Value, dy: Value, needed: readonly boolean[]) => (Value | undefined)[],
): Op {
  return define({
    name,
    infer(inputs) {
      requireType(name, inputs, allowed);
      const [a, b] = inputs as [Value, Value];
      const shape = broadcast(a.shape, b.shape);
      if (!shape) fail(name, inputs, "the shapes do not broadcast");
      return [{ dtype: a.dtype, shape }];
    },
    onnx: emitAs(name),
    gradient(node, [dy], needed) {
      const [a, b] = node.inputs as [Value, Value];
      const [da, db] = gradient(a, b, node.outputs[0]!, dy!, needed);
      return [da && unbroadcast(da, a.shape), db && unbroadcast(db, b.shape)];
    },
  });
}

const ADD = defineBinary("Add", NUMBERS, (_a, _b, _y, dy, needed) => needed.map((need) => (need ? dy : undefined)));
const SUB = defineBinary("Sub", NUMBERS, (_a, _b, _y, dy, [da, db]) => [da ? dy : undefined, db ? neg(dy) : undefined]);
const MUL = defineBinary("Mul", NUMBERS, (a, b, _y, dy, [da, db]) => [
  da ? mul(dy, b) : undefined,
  db ? mul(dy, a) : undefined,
]);
const DIV = defineBinary("Div", FLOATS, (_a, b, y, dy, [da, db]) => {
  const scaled = div(dy, b);
  return [da ? scaled : undefined, db ? neg(mul(scaled, y)) : undefined];
});

/** `a + b`, broadcast. */
export const add = (a: Operand, b: Operand): Value => binary(ADD, a, b);
/** `a - b`, broadcast. */
export const sub = (a: Operand, b: Operand): Value => binary(SUB, a, b);
/** `a ∘ b`, broadcast. */
export const mul = (a: Operand, b: Operand): Value => binary(MUL, a, b);
/** `a / b`, broadcast. */
export const div = (a: Operand, b: Operand): Value => binary(DIV, a, b);

function binary(op: Op, a: Operand, b: Operand): Value {
  const left = lift(a, b);
  return left.graph.apply(op, [left, lift(b, a)])[0]!;
}

// ---------------------------------------------------------------- element-wise, one operand

function defineUnary(name: string, gradient?: (x: Value, y: Value, dy: Value) => Value, domain?: string): Op {
  return define({
    name,
    infer(inputs) {
      requireType(name, inputs, FLOATS);
      return [{ dtype: inputs[0]!.dtype, shape: inputs[0]!.shape }];
    },
    onnx: emitAs(name, () => (domain ? { domain } : {})),
    ...(gradient && { gradient: (node, [dy]) => [gradient(node.inputs[0]!, node.outputs[0]!, dy!)] }),
  });
}

const NEG = defineUnary("Neg", (_x, _y, dy) => neg(dy));
const EXP = defineUnary("Exp", (_x, y, dy) => mul(dy, y));
const LOG = defineUnary("Log", (x, _y, dy) => div(dy, x));
const SQRT = defineUnary("Sqrt", (_x, y, dy) => div(mul(dy, 0.5), y));
const TANH = defineUnary("Tanh", (_x, y, dy) => mul(dy, sub(1, mul(y, y))));
const SIGMOID = defineUnary("Sigmoid", (_x, y, dy) => mul(dy, mul(y, sub(1, y))));
const SOFTPLUS = defineUnary("Softplus", (x, _y, dy) => mul(dy, sigmoid(x)));
const RELU = defineUnary("Relu", (_x, y, dy) => mul(dy, sign(y)));
const ABS = defineUnary("Abs", (x, _y, dy) => mul(dy, sign(x)));
const SIGN = defineUnary("Sign");
// Φ(x) is had from gelu(x)/x, since Gelu is quick and Erf slow; the tiny shift keeps 0/0 out and is lost beside any other x.
const GELU = defineUnary(
  "Gelu",
  (x, y, dy) => {
    const density = mul(exp(mul(mul(x, x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
    const distribution = div(add(y, 5e-31), add(x, 1e-30));
    return mul(dy, add(distribution, mul(x, density)));
  },
  MICROSOFT,
);

const unary = (op: Op, x: Value): Value => x.graph.apply(op, [x])[0]!;
/** `-x`, element-wise. */
export const neg = (x: Value): Value => unary(NEG, x);
/** `eˣ`, element-wise. */
export const exp = (x: Value): Value => unary(EXP, x);
/** Natural logarithm, element-wise. */
export const log = (x: Value): Value => unary(LOG, x);
/** Square root, element-wise. */
export const sqrt = (x: Value): Value => unary(SQRT, x);
/** Hyperbolic tangent, element-wise. */
export const tanh = (x: Value): Value => unary(TANH, x);
/** `1 / (1 + e⁻ˣ)`, element-wise. */
export const sigmoid = (x: Value): Value => unary(SIGMOID, x);
/** `log(1 + eˣ)` */
export const softplus = (x: Value): Value => unary(SOFTPLUS, x);
/** `max(x, 0)`, element-wise. */
export const relu = (x: Value): Value => unary(RELU, x);
/** `|x|`, element-wise. */
export const abs = (x: Value): Value => unary(ABS, x);
/** -1, 0 or 1; no gradient flows. */
export const sign = (x: Value): Value => unary(SIGN, x);
/** Gaussian error linear unit in its exact form, `x·Φ(x)`. float32 only. */
export const gelu = (x: Value): Value => unary(GELU, x);

const CAST = define({
  name: "Cast",
  infer: ([x], { to }) => [{ dtype: to as DataType, shape: x!.shape }],
  onnx: emitAs("Cast", ({ outputs }) => ({ attributes: { to: ELEMENT_TYPE[outputs[0]!.dtype] } })),
});

/** The same numbers as another type. Nothing flows back through it. */
export const cast = (x: Value, to: DataType): Value => x.graph.apply(CAST, [x], { to })[0]!;

// ---------------------------------------------------------------- products

const GEMM = define({
  name: "Gemm",
  infer(inputs, attributes) {
    requireType("Gemm", inputs, FLOATS);
    const [a, b, c] = inputs as [Value, Value, Value | undefined];
    if (a.shape.length !== 2 || b.shape.length !== 2) fail("Gemm", inputs, "takes matrices");
    const [m, ka] = attributes.transA ? [a.shape[1]!, a.shape[0]!] : [a.shape[0]!, a.shape[1]!];
    const [kb, n] = attributes.transB ? [b.shape[1]!, b.shape[0]!] : [b.shape[0]!, b.shape[1]!];
    if (ka !== kb) fail("Gemm", inputs, `the inner sizes ${ka} and ${kb} differ`);
    if (c && !sameShape(broadcast(c.shape, [m, n]) ?? [], [m, n])) {
      fail("Gemm", inputs, `the addend does not broadcast to ${showShape([m, n])}`);
    }
    return [{ dtype: a.dtype, shape: [m, n] }];
  },
  onnx: emitAs("Gemm", ({ attributes }) => ({
    attributes: {
      transA: Number(attributes.transA),
      transB: Number(attributes.transB),
      ...(attributes.alpha !== 1 && { alpha: { float: attributes.alpha as number } }),
    },
  })),
  gradient({ inputs, attributes }, [dy], needed) {
    const [a, b, c] = inputs as [Value, Value, Value | undefined];
    const transA = attributes.transA as boolean;
    const transB = attributes.transB as boolean;
    const alpha = attributes.alpha as number;
    return [
      needed[0]
        ? transA
          ? gemm(b, dy!, { transA: transB, transB: true, alpha })
          : gemm(dy!, b, { transB: !transB, alpha })
        : undefined,
      needed[1]
        ? transB
          ? gemm(dy!, a, { transA: true, transB: transA, alpha })
          : gemm(a, dy!, { transA: !transA, alpha })
        : undefined,
      needed[2] && c ? unbroadcast(dy!, c.shape) : undefined,
    ];
  },
  macs: ({ inputs, attributes, outputs }) => [...outputs[0]!.shape, inputs[0]!.shape[attributes.transA ? 0 : 1]!],
});

export interface GemmOptions {
  transA?: boolean;
  transB?: boolean;
  alpha?: number;
  /** Added to the product, broadcast; a whole matrix costs no more than a bias. */
  addend?: Value | undefined;
}

/** Product of matrices: `alpha · op(a) · op(b) + addend`, `[m, k] × [k, n] → [m, n]`. */
export function gemm(
  a: Value,
  b: Value,
  { transA = false, transB = false, alpha = 1, addend }: GemmOptions = {},
): Value {
  return a.graph.apply(GEMM, addend ? [a, b, addend] : [a, b], { transA, transB, alpha })[0]!;
}

/** The product with `addend` accumulated, where `value` is a product without one. */
export function accumulateInto(addend: Value, value: Value): Value | undefined {
  const node = value.node;
  if (node?.op !== GEMM || node.inputs.length !== 2) return undefined;
  return value.graph.within(
    node.provenance,
    () => value.graph.apply(GEMM, [...node.inputs, addend], node.attributes)[0]!,
  );
}

/** The operand's shape with its first axis moved to just before the last. */
const rotateBatch = (shape: Shape): Shape => [...shape.slice(1, -1), shape[0]!, shape.at(-1)!];

const MATMUL = define({
  name: "FusedMatMul",
  infer(inputs, { transA, transB, transBatchA, transBatchB }) {
    requireType("FusedMatMul", inputs, FLOATS);
    const [a, b] = inputs as [Value, Value];
    const left = transBatchA ? rotateBatch(a.shape) : a.shape;
    const right = transBatchB ? rotateBatch(b.shape) : b.shape;
    const batch = broadcast(left.slice(0, -2), right.slice(0, -2));
    if (left.length < 3 || left.length !== right.length || !batch) {
      fail("FusedMatMul", inputs, "takes stacks of matrices whose leading sizes broadcast");
    }
    const [m, ka] = transA ? [left.at(-1)!, left.at(-2)!] : [left.at(-2)!, left.at(-1)!];
    const [kb, n] = transB ? [right.at(-1)!, right.at(-2)!] : [right.at(-2)!, right.at(-1)!];
    if (ka !== kb) fail("FusedMatMul", inputs, `the inner sizes ${ka} and ${kb} differ`);
    return [{ dtype: a.dtype, shape: [...batch, m, n] }];
  },
  onnx: emitAs("FusedMatMul", ({ attributes }) => ({
    domain: MICROSOFT,
    attributes: {
      transA: Number(attributes.transA),
      transB: Number(attributes.transB),
      transBatchA: Number(attributes.transBatchA),
      transBatchB: Number(attributes.transBatchB),
      ...(attributes.alpha !== 1 && { alpha: { float: attributes.alpha as number } }),
    },
  })),
  gradient({ inputs, attributes }, [dy], needed) {
    const [a, b] = inputs as [Value, Value];
    const { transA, transB, transBatchA, transBatchB, alpha } = attributes as unknown as Required<MatmulOptions>;
    // A gradient has the stack's leading sizes and its operand's axes in order: summed where the operand was broadcast,
    // then laid out as it is stored.
    const asStored = (gradient: Value, operand: Value, rotated: boolean): Value => {
      const summed = unbroadcast(gradient, rotated ? rotateBatch(operand.shape) : operand.shape);
      const rank = summed.shape.length;
      const stored = [rank - 2, ...Array.from({ length: rank - 2 }, (_, i) => i), rank - 1];
      return rotated ? transpose(summed, stored) : summed;
    };
    const da = (): Value =>
      transA
        ? matmul(b, dy!, { transA: transB, transBatchA: transBatchB, transB: true, alpha })
        : matmul(dy!, b, { transB: !transB, transBatchB, alpha });
    const db = (): Value =>
      transB
        ? matmul(dy!, a, { transA: true, transB: transA, transBatchB: transBatchA, alpha })
        : matmul(a, dy!, { transA: !transA, transBatchA, alpha });
    return [
      needed[0] ? asStored(da(), a, transBatchA) : undefined,
      needed[1] ? asStored(db(), b, transBatchB) : undefined,
    ];
  },
  macs: ({ inputs, attributes, outputs }) => {
    const a = attributes.transBatchA ? rotateBatch(inputs[0]!.shape) : inputs[0]!.shape;
    return [...outputs[0]!.shape, a.at(attributes.transA ? -2 : -1)!];
  },
});

export interface MatmulOptions {
  transA?: boolean;
  transB?: boolean;
  /** The operand is stored as `[m, …batch, k]`: its first axis belongs before its last. */
  transBatchA?: boolean;
  transBatchB?: boolean;
  alpha?: number;
}

/**
 * Product of stacked matrices, `alpha · op(a) · op(b)`: `[…batch, m, k] × […batch, k, n] → […batch, m, n]`, leading
 * sizes broadcast. float32 only.
 */
export function matmul(a: Value, b: Value, options: MatmulOptions = {}): Value {
  const { transA = false, transB = false, transBatchA = false, transBatchB = false, alpha = 1 } = options;
  return a.graph.apply(MATMUL, [a, b], { transA, transB, transBatchA, transBatchB, alpha })[0]!;
}

// ---------------------------------------------------------------- reductions and normalisation

const REDUCE_SUM = define({
  name: "ReduceSum",
  infer(inputs, attributes) {
    requireType("ReduceSum", inputs, FLOATS);
    const axes = attributes.axes as number[];
    const { shape, dtype } = inputs[0]!;
    if (axes.some((axis) => !(axis >= 0 && axis < shape.length))) {
      fail("ReduceSum", inputs, `has no axis ${axes.join(", ")}`);
    }
    return [
      {
        dtype,
        shape: attributes.keepDimensions
          ? shape.map((dimension, axis) => (axes.includes(axis) ? 1 : dimension))
          : shape.filter((_, axis) => !axes.includes(axis)),
      },
    ];
  },
  onnx(node, emitter) {
    emitter.emit("ReduceSum", [emitter.nameOf(node.inputs[0]!), emitter.int64(node.attributes.axes as number[])], {
      attributes: { keepdims: Number(node.attributes.keepDimensions) },
      outputs: [emitter.nameOf(node.outputs[0]!)],
    });
  },
  gradient({ inputs, attributes }, [dy]) {
    const { shape } = inputs[0]!;
    const axes = attributes.axes as number[];
    const kept = shape.map((dimension, axis) => (axes.includes(axis) ? 1 : dimension));
    return [expand(reshape(dy!, kept), shape)];
  },
});

/** Sum over `axes` (from 0; negative ones count from the end). No axes: the value itself. */
export function reduceSum(x: Value, axes: readonly number[], keepDimensions = false): Value {
  if (axes.length === 0) return x;
  const positive = axes.map((axis) => (axis < 0 ? axis + x.shape.length : axis));
  return x.graph.apply(REDUCE_SUM, [x], { axes: positive, keepDimensions })[0]!;
}

/** Sum of all elements, shape `[]`. */
export const sumAll = (x: Value): Value =>
  reduceSum(
    x,
    x.shape.map((_, axis) => axis),
  );

const SOFTMAX = define({
  name: "Softmax",
  infer(inputs) {
    requireType("Softmax", inputs, FLOATS);
    return [{ dtype: inputs[0]!.dtype, shape: inputs[0]!.shape }];
  },
  onnx: emitAs("Softmax", () => ({ attributes: { axis: -1 } })),
  gradient({ outputs: [y] }, [dy]) {
    const weighted = mul(dy!, y!);
    return [sub(weighted, mul(y!, reduceSum(weighted, [-1], true)))];
  },
});

/** Softmax over the last axis. */
export const softmax = (x: Value): Value => unary(SOFTMAX, x);

const LOG_SOFTMAX = define({
  name: "LogSoftmax",
  infer: SOFTMAX.infer,
  onnx: emitAs("LogSoftmax", () => ({ attributes: { axis: -1 } })),
  gradient: ({ outputs: [y] }, [dy]) => [sub(dy!, mul(exp(y!), reduceSum(dy!, [-1], true)))],
});

/** Logarithm of the softmax over the last axis. */
export const logSoftmax = (x: Value): Value => unary(LOG_SOFTMAX, x);

const LAYER_NORM = define({
  name: "LayerNormalization",
  infer(inputs) {
    requireType("LayerNormalization", inputs, FLOATS);
    const [x, scale, bias] = inputs as [Value, Value, Value | undefined];
    const width: Shape = x.shape.slice(-1);
    if (!sameShape(scale.shape, width) || (bias && !sameShape(bias.shape, width))) {
      fail("LayerNormalization", inputs, `scale and bias must be ${showShape(width)}`);
    }
    const rows = { dtype: x.dtype, shape: [...x.shape.slice(0, -1), 1] };
    return [{ dtype: x.dtype, shape: x.shape }, rows, rows];
  },
  onnx: emitAs("LayerNormalization", ({ attributes }) => ({
    attributes: { axis: -1, epsilon: { float: attributes.epsilon as number } },
  })),
  gradient(node, [dy, dMean, dInverse], needed) {
    if (dMean || dInverse) throw new Error("LayerNormalization: mean and deviation are for its own gradient only");
    const [x, scale, bias] = node.inputs as [Value, Value, Value | undefined];
    const [, mean, inverseDeviation] = node.outputs as [Value, Value, Value];
    const width = x.shape.at(-1) as number;
    const normalised = mul(sub(x, mean), inverseDeviation);
    const rowMean = (value: Value): Value => mul(reduceSum(value, [-1], true), 1 / width);
    const dx = (): Value => {
      const g = mul(dy!, scale);
      const centred = sub(g, rowMean(g));
      return mul(sub(centred, mul(normalised, rowMean(mul(g, normalised)))), inverseDeviation);
    };
    return [
      needed[0] ? dx() : undefined,
      needed[1] ? unbroadcast(mul(dy!, normalised), scale.shape) : undefined,
      needed[2] && bias ? unbroadcast(dy!, bias.shape) : undefined,
    ];
  },
});

/** Layer normalisation over the last axis: `x [..., width]`, `scale` and `bias` `[width]`. */
export function layerNorm(x: Value, scale: Value, bias: Value | undefined, epsilon: number): Value {
  return x.graph.apply(LAYER_NORM, bias ? [x, scale, bias] : [x, scale], { epsilon })[0]!;
}

// ---------------------------------------------------------------- shape

const RESHAPE = define({
  name: "Reshape",
  infer(inputs, attributes) {
    const shape = attributes.shape as Shape;
    const [x] = inputs as [Value];
    if (product(x.shape) !== product(shape)) fail("Reshape", inputs, `cannot become ${showShape(shape)}`);
    return [{ dtype: x.dtype, shape }];
  },
  onnx(node, emitter) {
    const [x] = node.inputs as [Value];
    const shape = node.attributes.shape as Shape;
    const unknown = shape.flatMap((dimension, axis) =>
      typeof dimension === "string" && dimension !== x.shape[axis] ? [axis] : [],
    );
    // -1 stands for one size, 0 for a size kept; more unknown sizes than one must be read from the inputs.
    const target =
      unknown.length <= 1
        ? emitter.int64(shape.map((size, axis) => (typeof size === "number" ? size : axis === unknown[0] ? -1 : 0)))
        : emitter.shapeTensor(shape);
    emitter.emit("Reshape", [emitter.nameOf(x), target], { outputs: [emitter.nameOf(node.outputs[0]!)] });
  },
  gradient: ({ inputs }, [dy]) => [reshape(dy!, inputs[0]!.shape)],
});

/** The same elements, row-major, in another shape. */
export function reshape(x: Value, shape: Shape): Value {
  return sameShape(x.shape, shape) ? x : x.graph.apply(RESHAPE, [x], { shape })[0]!;
}

const EXPAND = define({
  name: "Expand",
  infer(inputs, attributes) {
    const shape = attributes.shape as Shape;
    const [x] = inputs as [Value];
    if (!sameShape(broadcast(x.shape, shape) ?? [], shape)) fail("Expand", inputs, `cannot become ${showShape(shape)}`);
    return [{ dtype: x.dtype, shape }];
  },
  onnx(node, emitter) {
    emitter.emit("Expand", [emitter.nameOf(node.inputs[0]!), emitter.shapeTensor(node.attributes.shape as Shape)], {
      outputs: [emitter.nameOf(node.outputs[0]!)],
    });
  },
  gradient: ({ inputs }, [dy]) => [unbroadcast(dy!, inputs[0]!.shape)],
});

/** Broadcasts to a shape. */
export function expand(x: Value, shape: Shape): Value {
  return sameShape(x.shape, shape) ? x : x.graph.apply(EXPAND, [x], { shape })[0]!;
}

const TRANSPOSE = define({
  name: "Transpose",
  infer(inputs, attributes) {
    const permutation = attributes.permutation as number[];
    const [x] = inputs as [Value];
    if (permutation.length !== x.shape.length || new Set(permutation).size !== permutation.length) {
      fail("Transpose", inputs, `[${permutation.join(", ")}] is no permutation of its axes`);
    }
    return [{ dtype: x.dtype, shape: permutation.map((axis) => x.shape[axis]!) }];
  },
  onnx: emitAs("Transpose", ({ attributes }) => ({ attributes: { perm: attributes.permutation as number[] } })),
  gradient({ attributes }, [dy]) {
    const inverse: number[] = [];
    (attributes.permutation as number[]).forEach((axis, position) => {
      inverse[axis] = position;
    });
    return [transpose(dy!, inverse)];
  },
});

/** Axis `i` of the result is axis `permutation[i]` of `x`. */
export function transpose(x: Value, permutation: readonly number[]): Value {
  return x.graph.apply(TRANSPOSE, [x], { permutation })[0]!;
}

const CONCAT = define({
  name: "Concat",
  infer(inputs, attributes) {
    const axis = attributes.axis as number;
    const [first] = inputs as [Value];
    let size = 0;
    for (const { shape, dtype } of inputs) {
      const fits = shape.length === first.shape.length && shape.every((d, i) => i === axis || d === first.shape[i]);
      if (!fits || dtype !== first.dtype) fail("Concat", inputs, `must agree except on axis ${axis}`);
      if (typeof shape[axis] !== "number") fail("Concat", inputs, `needs numbers as sizes of axis ${axis}`);
      size += shape[axis];
    }
    return [{ dtype: first.dtype, shape: first.shape.map((d, i) => (i === axis ? size : d)) }];
  },
  onnx: emitAs("Concat", ({ attributes }) => ({ attributes: { axis: attributes.axis as number } })),
  gradient({ inputs, attributes }, [dy], needed) {
    const axis = attributes.axis as number;
    let start = 0;
    return inputs.map((input, i) => {
      const from = start;
      start += input.shape[axis] as number;
      return needed[i] ? slice(dy!, axis, from, start) : undefined;
    });
  },
});

/** Joins values along an axis whose sizes are numbers. */
export function concat(values: readonly Value[], axis: number): Value {
  return values[0]!.graph.apply(CONCAT, values, { axis })[0]!;
}

const SLICE = define({
  name: "Slice",
  infer(inputs, attributes) {
    const [x] = inputs as [Value];
    const axis = attributes.axis as number;
    const start = attributes.start as number;
    const size = attributes.size as Dimension;
    const whole = x.shape[axis];
    const tooLong = typeof whole === "number" && typeof size === "number" && start + size > whole;
    if (whole === undefined || start < 0 || tooLong) {
      fail("Slice", inputs, `axis ${axis} has no ${size} elements from ${start}`);
    }
    return [{ dtype: x.dtype, shape: x.shape.map((d, i) => (i === axis ? size : d)) }];
  },
  onnx(node, emitter) {
    const { axis, start, size } = node.attributes as { axis: number; start: number; size: Dimension };
    const end =
      typeof size === "number"
        ? emitter.int64([start + size])
        : emitter.emit("Add", [emitter.shapeTensor([size]), emitter.int64([start])]);
    emitter.emit("Slice", [emitter.nameOf(node.inputs[0]!), emitter.int64([start]), end, emitter.int64([axis])], {
      outputs: [emitter.nameOf(node.outputs[0]!)],
    });
  },
  gradient({ inputs, attributes }, [dy]) {
    const { axis, start } = attributes as { axis: number; start: number };
    return [padTo(dy!, axis, start, inputs[0]!.shape[axis]!)];
  },
});

/** Elements `start … start + size - 1` of an axis. */
export function sliceSize(x: Value, axis: number, start: number, size: Dimension): Value {
  return x.graph.apply(SLICE, [x], { axis, start, size })[0]!;
}

/** Elements `start … end - 1` of an axis. */
export const slice = (x: Value, axis: number, start: number, end: number): Value =>
  sliceSize(x, axis, start, end - start);

const PAD = define({
  name: "Pad",
  infer(inputs, attributes) {
    const [x] = inputs as [Value];
    const { axis, size } = attributes as { axis: number; size: Dimension };
    if (x.shape[axis] === undefined) fail("Pad", inputs, `has no axis ${axis}`);
    return [{ dtype: x.dtype, shape: x.shape.map((d, i) => (i === axis ? size : d)) }];
  },
  onnx(node, emitter) {
    const [x] = node.inputs as [Value];
    const { axis, start, size } = node.attributes as { axis: number; start: number; size: Dimension };
    const length = x.shape[axis]!;
    const after =
      typeof size === "number" && typeof length === "number"
        ? emitter.int64([size - start - length])
        : emitter.emit("Sub", [
            emitter.emit("Sub", [emitter.shapeTensor([size]), emitter.shapeTensor([length])]),
            emitter.int64([start]),
          ]);
    const pads = emitter.emit("Concat", [emitter.int64([start]), after], { attributes: { axis: 0 } });
    emitter.emit("Pad", [emitter.nameOf(x), pads, "", emitter.int64([axis])], {
      outputs: [emitter.nameOf(node.outputs[0]!)],
    });
  },
  gradient: ({ inputs, attributes }, [dy]) => {
    const { axis, start } = attributes as { axis: number; start: number };
    return [sliceSize(dy!, axis, start, inputs[0]!.shape[axis]!)];
  },
});

/** `x` at `start` of an axis of length `size`, zeros around it. */
export function padTo(x: Value, axis: number, start: number, size: Dimension): Value {
  return x.graph.apply(PAD, [x], { axis, start, size })[0]!;
}

/** Sizes of a node's `[…, rows, columns]` as a Reshape's target: 0 keeps a leading size, -1 stands for the last one. */
function rowsTarget(emitter: OnnxEmitter, leading: number, rows: Dimension): string {
  const kept = emitter.int64(Array(leading).fill(0));
  return emitter.emit("Concat", [kept, emitter.shapeTensor([rows]), emitter.int64([-1])], { attributes: { axis: 0 } });
}

// Row i of [n, 2n] starts at i·2n, and what it keeps at i·(2n-1) + n: without the first n elements the same memory is n
// rows of 2n-1 elements, whose first n are the answer.
const ALIGN = define({
  name: "AlignDistances",
  infer(inputs) {
    const [x] = inputs as [Value];
    const rows = x.shape.at(-2);
    if (rows === undefined || x.shape.at(-1) !== product([2, rows]))
      fail("AlignDistances", inputs, "takes [..., n, 2*n]");
    return [{ dtype: x.dtype, shape: [...x.shape.slice(0, -1), rows] }];
  },
  onnx(node, emitter) {
    const [x] = node.inputs as [Value];
    const leading = x.shape.length - 2;
    const rows = x.shape[leading]!;
    const size = emitter.shapeTensor([rows]);
    const flat = emitter.emit("Reshape", [emitter.nameOf(x), emitter.int64([...Array(leading).fill(0), -1])]);
    const end = emitter.int64([2 ** 31 - 1]);
    const shifted = emitter.emit("Slice", [flat, size, end, emitter.int64([leading])]);
    const skewed = emitter.emit("Reshape", [shifted, rowsTarget(emitter, leading, rows)]);
    emitter.emit("Slice", [skewed, emitter.int64([0]), size, emitter.int64([leading + 1])], {
      outputs: [emitter.nameOf(node.outputs[0]!)],
    });
  },
  gradient: (_node, [dy]) => [unary(SPREAD, dy!)],
});

/** Picks from every row its own stretch: `x [..., n, 2*n]` → `y [..., n, n]` with `y[i, j] = x[i, n + j - i]`. */
export const alignDistances = (x: Value): Value => unary(ALIGN, x);

/** The other way round: `y[i, n + j - i] = x[i, j]`, zeros elsewhere. */
const SPREAD = define({
  name: "SpreadDistances",
  infer(inputs) {
    const [x] = inputs as [Value];
    const rows = x.shape.at(-2);
    if (rows === undefined || x.shape.at(-1) !== rows) fail("SpreadDistances", inputs, "takes [..., n, n]");
    return [{ dtype: x.dtype, shape: [...x.shape.slice(0, -1), product([2, rows])] }];
  },
  onnx(node, emitter) {
    const [x] = node.inputs as [Value];
    const leading = x.shape.length - 2;
    const rows = x.shape[leading]!;
    const size = emitter.shapeTensor([rows]);
    const pad = (value: string, before: string, after: string, axis: number): string => {
      const pads = emitter.emit("Concat", [before, after], { attributes: { axis: 0 } });
      return emitter.emit("Pad", [value, pads, "", emitter.int64([axis])]);
    };
    const none = emitter.int64([0]);
    const after = emitter.emit("Sub", [size, emitter.int64([1])]);
    const skewed = pad(emitter.nameOf(x), none, after, leading + 1);
    const flat = emitter.emit("Reshape", [skewed, emitter.int64([...Array(leading).fill(0), -1])]);
    emitter.emit("Reshape", [pad(flat, size, none, leading), rowsTarget(emitter, leading, rows)], {
      outputs: [emitter.nameOf(node.outputs[0]!)],
    });
  },
});

// ---------------------------------------------------------------- look-up

const GATHER = define({
  name: "Gather",
  infer(inputs) {
    const [table, indices] = inputs as [Value, Value];
    if (table.shape.length < 1) fail("Gather", inputs, "looks up rows of a table");
    if (indices.dtype !== "int32" && indices.dtype !== "int64") fail("Gather", inputs, "the indices must be integers");
    return [{ dtype: table.dtype, shape: [...indices.shape, ...table.shape.slice(1)] }];
  },
  onnx: emitAs("Gather", () => ({ attributes: { axis: 0 } })),
  gradient: ({ inputs: [table, indices] }, [dy]) => [
    dy!.graph.apply(SCATTER_ROWS, [dy!, indices!, dy!.graph.constant([0], dy!.dtype)], { rows: table!.shape[0]! })[0]!,
    undefined,
  ],
});

/** Rows of a table: `table [rows, …width]`, `indices [...]` → `[..., …width]`. */
export const gather = (table: Value, indices: Value): Value => table.graph.apply(GATHER, [table, indices])[0]!;

const SCATTER_ROWS = define({
  name: "ScatterND",
  infer(inputs, attributes) {
    const [updates, indices] = inputs as [Value, Value];
    return [
      { dtype: updates.dtype, shape: [attributes.rows as Dimension, ...updates.shape.slice(indices.shape.length)] },
    ];
  },
  onnx(node, emitter) {
    const [updates, indices, zero] = node.inputs as [Value, Value, Value];
    const zeros = emitter.emit("Expand", [emitter.nameOf(zero), emitter.shapeTensor(node.outputs[0]!.shape)]);
    const wide = emitter.emit("Cast", [emitter.nameOf(indices)], { attributes: { to: 7 } });
    const rows = emitter.emit("Unsqueeze", [wide, emitter.int64([-1])]);
    emitter.emit("ScatterND", [zeros, rows, emitter.nameOf(updates)], {
      attributes: { reduction: "add" },
      outputs: [emitter.nameOf(node.outputs[0]!)],
    });
  },
});
