import { broadcast } from "../dimension.ts";
import { ELEMENT_TYPE, type Op, type Value } from "../graph.ts";
import type { DataType } from "../tensor.ts";
import { define, eachRow, FLOATS, fail, likeOperand, MICROSOFT, NUMBERS, requireType, unary } from "./define.ts";
import { emitAs } from "./emit.ts";

/** A value, or a number that becomes a scalar of the other operand's type. */
export type Operand = Value | number;

function defineBinary(
  name: string,
  allowed: readonly DataType[],
  gradient: (a: Value, b: Value, y: Value, dy: Value) => [Value, Value],
): Op<[Value, Value]> {
  return define<[Value, Value]>({
    name,
    infer(inputs) {
      requireType(name, inputs, allowed);
      const [a, b] = inputs;
      const shape = broadcast(a.shape, b.shape);
      if (!shape) fail(name, inputs, "the shapes do not broadcast");
      return [{ dtype: a.dtype, shape }];
    },
    onnx: emitAs(name),
    gradient: ({ inputs: [a, b], outputs: [y] }, dy) => gradient(a, b, y!, dy),
    rows: eachRow,
  });
}

const ADD = defineBinary("Add", NUMBERS, (_a, _b, _y, dy) => [dy, dy]);
const SUB = defineBinary("Sub", NUMBERS, (_a, _b, _y, dy) => [dy, neg(dy)]);
const MUL = defineBinary("Mul", NUMBERS, (a, b, _y, dy) => [mul(dy, b), mul(dy, a)]);
const DIV = defineBinary("Div", FLOATS, (_a, b, y, dy) => {
  const scaled = div(dy, b);
  return [scaled, neg(mul(scaled, y))];
});

/** `a + b`, broadcast. */
export const add = (a: Operand, b: Operand): Value => binary(ADD, a, b);
/** `a - b`, broadcast. */
export const sub = (a: Operand, b: Operand): Value => binary(SUB, a, b);
/** `a ∘ b`, broadcast. */
export const mul = (a: Operand, b: Operand): Value => binary(MUL, a, b);
/** `a / b`, broadcast. */
export const div = (a: Operand, b: Operand): Value => binary(DIV, a, b);

function binary(op: Op<[Value, Value]>, a: Operand, b: Operand): Value {
  const like = typeof a === "number" ? b : a;
  if (typeof like === "number") fail(op.name, [], "one operand must be a value");
  const lift = (operand: Operand): Value =>
    typeof operand === "number" ? like.graph.constant([operand], like.dtype) : operand;
  return like.graph.apply(op, [lift(a), lift(b)], {});
}

function defineUnary(name: string, gradient?: (x: Value, y: Value, dy: Value) => Value, domain?: string): Op<[Value]> {
  return define<[Value]>({
    name,
    infer: likeOperand(name),
    onnx: emitAs(name, () => (domain ? { domain } : {})),
    ...(gradient && { gradient: ({ inputs: [x], outputs: [y] }, dy) => [gradient(x, y!, dy)] }),
    rows: eachRow,
  });
}

const NEG = defineUnary("Neg", (_x, _y, dy) => neg(dy));
const EXP = defineUnary("Exp", (_x, y, dy) => mul(dy, y));
const LOG = defineUnary("Log", (x, _y, dy) => div(dy, x));
const SQRT = defineUnary("Sqrt", (_x, y, dy) => div(mul(dy, 0.5), y));
const TANH = defineUnary("Tanh", (_x, y, dy) => mul(dy, sub(1, mul(y, y))));
const SIN = defineUnary("Sin", (x, _y, dy) => mul(dy, cos(x)));
const COS = defineUnary("Cos", (x, _y, dy) => neg(mul(dy, sin(x))));
const SIGMOID = defineUnary("Sigmoid", (_x, y, dy) => mul(dy, mul(y, sub(1, y))));
const SOFTPLUS = defineUnary("Softplus", (x, _y, dy) => mul(dy, sigmoid(x)));
const RELU = defineUnary("Relu", (_x, y, dy) => mul(dy, sign(y)));
const ABS = defineUnary("Abs", (x, _y, dy) => mul(dy, sign(x)));
const SIGN = define<[Value]>({
  name: "Sign",
  infer: likeOperand("Sign"),
  onnx: emitAs("Sign"),
  plainOnnx({ inputs: [x], outputs }, emitter) {
    const zero = emitter.scalar(x.dtype, 0);
    const [above, below] = ["Greater", "Less"].map((compare) =>
      emitter.emit("Cast", [emitter.emit(compare, [x, zero])], { attributes: { to: ELEMENT_TYPE[x.dtype] } }),
    );
    emitter.emit("Sub", [above!, below!], { outputs });
  },
  rows: eachRow,
});
// Φ(x) is computed as gelu(x)/x, because Gelu is fast and Erf slow. The tiny shift avoids 0/0 and is lost beside other
// x.
const GELU = defineUnary(
  "Gelu",
  (x, y, dy) => {
    const density = mul(exp(mul(mul(x, x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
    const distribution = div(add(y, 5e-31), add(x, 1e-30));
    return mul(dy, add(distribution, mul(x, density)));
  },
  MICROSOFT,
);

const FLOOR = defineUnary("Floor");
const CEIL = defineUnary("Ceil");
const ERF = defineUnary("Erf", (x, _y, dy) => mul(dy, mul(exp(neg(mul(x, x))), 2 / Math.sqrt(Math.PI))));

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
/** Sine of radians, element-wise. */
export const sin = (x: Value): Value => unary(SIN, x);
/** Cosine of radians, element-wise. */
export const cos = (x: Value): Value => unary(COS, x);
/** `1 / (1 + e⁻ˣ)`, element-wise. */
export const sigmoid = (x: Value): Value => unary(SIGMOID, x);
/** `log(1 + eˣ)`, element-wise. */
export const softplus = (x: Value): Value => unary(SOFTPLUS, x);
/** `max(x, 0)`, element-wise. */
export const relu = (x: Value): Value => unary(RELU, x);
/** `|x|`, element-wise. */
export const abs = (x: Value): Value => unary(ABS, x);
/** -1, 0 or 1, element-wise; no gradient flows. */
export const sign = (x: Value): Value => unary(SIGN, x);
/** Gaussian error linear unit in its exact form, `x·Φ(x)`. float32 only. */
export const gelu = (x: Value): Value => unary(GELU, x);

/** Rounds down, element-wise; no gradient flows. */
export const floor = (x: Value): Value => unary(FLOOR, x);
/** Rounds up, element-wise; no gradient flows. */
export const ceil = (x: Value): Value => unary(CEIL, x);
/** Error function, element-wise. float32 only. */
export const erf = (x: Value): Value => unary(ERF, x);

const CAST = define<[Value], { to: DataType }>({
  name: "Cast",
  infer: ([{ shape }], { to }) => [{ dtype: to, shape }],
  onnx: emitAs("Cast", ({ to }) => ({ attributes: { to: ELEMENT_TYPE[to] } })),
  rows: eachRow,
});

/** Converts to another type; no gradient flows. */
export const cast = (x: Value, to: DataType): Value => x.graph.apply(CAST, [x], { to });
