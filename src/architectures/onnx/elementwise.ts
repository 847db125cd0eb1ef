import type { Value } from "../../graph/graph.ts";
import * as ops from "../../graph/ops.ts";
import { ACTIVATIONS } from "../activation.ts";
import { type Known, numbersOf } from "./constant-folding.ts";
import { type ImportedNode, type Importer, isValue, type Operand } from "./imported-node.ts";

const unary =
  (write: (x: Value) => Value): Importer =>
  (node) =>
    write(node.value(0));

/** Also applies to integers, which are small enough to be exact as floats. */
const unaryOfAny =
  (write: (x: Value) => Value): Importer =>
  (node) => {
    const x = node.value(0);
    return x.dtype === "int64" ? ops.cast(write(ops.cast(x, "float32")), x.dtype) : write(x);
  };

const binary =
  (write: (a: Value, b: Value) => Value): Importer =>
  (node) =>
    write(node.value(0), node.value(1));

const chain =
  (write: (a: Value, b: Value) => Value): Importer =>
  (node) =>
    node.operands.map((_, i) => node.value(i)).reduce((a, b) => write(a, b));

const { greater, not, where } = ops;
const maximum = (a: Value, b: Value): Value => where(greater(a, b), a, b);
const minimum = (a: Value, b: Value): Value => where(greater(b, a), a, b);

/** Element types in the graph by ONNX's codes: all floats become float32, all integers int64. */
const TYPES: Readonly<Record<number, Known["dtype"]>> = {
  ...Object.fromEntries([1, 10, 11, 16].map((code) => [code, "float32"])),
  ...Object.fromEntries([2, 3, 4, 5, 6, 7, 12, 13].map((code) => [code, "int64"])),
  9: "bool",
};

function castTo(node: ImportedNode): Operand {
  const to = TYPES[node.number("to", 0)];
  if (!to) return node.refuse(`ONNX's type ${node.number("to", 0)} is not supported`);
  const [x] = node.operands;
  if (x && !isValue(x)) return castKnown(x, to) ?? node.refuse(`a size cannot become ${to}`);
  const value = node.value(0);
  return value.dtype === to ? value : ops.cast(value, to);
}

function castKnown(x: Known, to: Known["dtype"]): Known | undefined {
  const number = { int64: Math.trunc, bool: (each: number) => Number(each !== 0), float32: (each: number) => each }[to];
  if (to === "bool" && !numbersOf(x)) return undefined;
  return { ...x, dtype: to, elements: x.elements.map((each) => (typeof each === "number" ? number(each) : each)) };
}

function power(node: ImportedNode): Operand {
  const [exponent] = node.numbers(1) ?? [];
  const x = node.value(0);
  if (exponent === 2) return ops.mul(x, x);
  if (exponent === 3) return ops.mul(ops.mul(x, x), x);
  if (exponent === 0.5) return ops.sqrt(x);
  if (exponent === -0.5) return ops.div(1, ops.sqrt(x));
  if (exponent === -1) return ops.div(1, x);
  return exponent === 1 ? x : node.refuse(`powers of ${exponent} are not supported`);
}

function clip(node: ImportedNode): Operand {
  const { graph } = node;
  const bound = (index: number, name: string): Value | undefined => {
    const value = node.attributes[name];
    return node.optional(index) ?? (typeof value === "number" ? graph.constant([value], "float32") : undefined);
  };
  const [low, high] = [bound(1, "min"), bound(2, "max")];
  const above = low ? maximum(node.value(0), low) : node.value(0);
  return high ? minimum(above, high) : above;
}

const between0And1 = (x: Value): Value => {
  const [zero, one] = [0, 1].map((bound) => x.graph.constant([bound], "float32"));
  return minimum(maximum(x, zero!), one!);
};

const hardSigmoid = (x: Value, alpha: number, beta: number): Value => between0And1(ops.add(ops.mul(x, alpha), beta));

const geluOf: Importer = (node) =>
  node.attributes.approximate === "tanh" ? ACTIVATIONS.gelu_new(node.value(0)) : ops.gelu(node.value(0));

export const ELEMENTWISE: Readonly<Record<string, Importer>> = {
  Add: binary(ops.add),
  Sub: binary(ops.sub),
  Mul: binary(ops.mul),
  Div: (node) => (node.value(0).dtype === "float32" ? binary(ops.div)(node) : node.refuse("it divides whole numbers")),
  Sum: chain(ops.add),
  Max: chain(maximum),
  Min: chain(minimum),
  Neg: unary((x) => ops.mul(x, -1)),
  Abs: unaryOfAny(ops.abs),
  Sign: unaryOfAny(ops.sign),
  Exp: unary(ops.exp),
  Log: unary(ops.log),
  Sqrt: unary(ops.sqrt),
  Reciprocal: unary((x) => ops.div(1, x)),
  Sin: unary(ops.sin),
  Cos: unary(ops.cos),
  Tanh: unary(ops.tanh),
  Sigmoid: unary(ops.sigmoid),
  Softplus: unary(ops.softplus),
  Relu: unary(ops.relu),
  Erf: unary(ops.erf),
  Floor: unary(ops.floor),
  Ceil: unary(ops.ceil),
  Gelu: geluOf,
  "com.microsoft.Gelu": geluOf,
  "com.microsoft.FastGelu": (node) => {
    const bias = node.optional(1);
    return ACTIVATIONS.gelu_new(bias ? ops.add(node.value(0), bias) : node.value(0));
  },
  "com.microsoft.BiasGelu": binary((x, bias) => ops.gelu(ops.add(x, bias))),
  "com.microsoft.QuickGelu": (node) => {
    const x = node.value(0);
    return ops.mul(x, ops.sigmoid(ops.mul(x, node.number("alpha", 1.702))));
  },
  LeakyRelu: (node) => {
    const x = node.value(0);
    return ops.sub(ops.relu(x), ops.mul(ops.relu(ops.mul(x, -1)), node.number("alpha", 0.01)));
  },
  HardSigmoid: (node) => hardSigmoid(node.value(0), node.number("alpha", 0.2), node.number("beta", 0.5)),
  HardSwish: unary((x) => ops.mul(x, hardSigmoid(x, 1 / 6, 0.5))),
  Pow: power,
  Clip: clip,
  Cast: castTo,
  CastLike: (node) =>
    node.value(0).dtype === node.value(1).dtype ? node.value(0) : ops.cast(node.value(0), node.value(1).dtype),
  Identity: (node) => node.operands[0] ?? node.value(0),
  Dropout: (node) => node.value(0),
  Equal: binary(ops.equal),
  Greater: binary(greater),
  Less: binary((a, b) => greater(b, a)),
  GreaterOrEqual: binary((a, b) => not(greater(b, a))),
  LessOrEqual: binary((a, b) => not(greater(a, b))),
  And: binary(ops.and),
  Or: binary(ops.or),
  Not: unary(not),
  IsNaN: unary(ops.isNotNumber),
  Where: (node) => where(node.value(0), node.value(1), node.value(2)),
};
