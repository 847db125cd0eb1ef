import { type Dimension, product } from "../../graph/dimension.ts";
import type { Value } from "../../graph/graph.ts";
import {
  add,
  cast,
  cumulativeSum,
  div,
  gemm,
  layerNorm,
  logSoftmax,
  matmul,
  mul,
  reduceSum,
  reshape,
  rmsNorm,
  sizesOf,
  softmax,
  sqrt,
  sub,
  transpose,
  where,
} from "../../graph/ops.ts";
import { axesOf } from "./constant-folding.ts";
import { type ImportedNode, type Importer, isValue, LOWEST } from "./imported-node.ts";

const ofRank = (x: Value, rank: number): Value =>
  reshape(x, [...Array<number>(Math.max(0, rank - x.shape.length)).fill(1), ...x.shape]);

function matrixProduct(node: ImportedNode): Value {
  const [a, b] = [node.value(0), node.value(1)];
  const rank = Math.max(a.shape.length, b.shape.length);
  if (a.shape.length < 2 || b.shape.length < 2) return node.refuse("it multiplies with a vector");
  return rank === 2 ? gemm(a, b) : matmul(ofRank(a, rank), ofRank(b, rank));
}

/** ONNX Runtime's matrix product with optional transposes. */
const fusedProduct: Importer = (node) => {
  const is = (name: string): boolean => node.number(name, 0) === 1;
  return matmul(node.value(0), node.value(1), {
    transA: is("transA"),
    transB: is("transB"),
    transBatchA: is("transBatchA"),
    transBatchB: is("transBatchB"),
    alpha: node.number("alpha", 1),
  });
};

function generalProduct(node: ImportedNode): Value {
  const [transA, transB] = [node.number("transA", 0) === 1, node.number("transB", 0) === 1];
  const addend = node.optional(2);
  const beta = node.number("beta", 1);
  return gemm(node.value(0), node.value(1), {
    transA,
    transB,
    alpha: node.number("alpha", 1),
    ...(addend && { addend: beta === 1 ? addend : mul(addend, beta) }),
  });
}

/** Applies a function of the last axis to any axis, by transposing there and back. */
function along(node: ImportedNode, write: (x: Value) => Value): Value {
  const x = node.value(0);
  const last = x.shape.length - 1;
  const axis = node.axis(node.number("axis", -1), x.shape.length);
  if (axis === last) return write(x);
  const turn = x.shape.map((_, i) => (i === axis ? last : i === last ? axis : i));
  return transpose(write(transpose(x, turn)), turn);
}

function reduce(write: (x: Value, axes: readonly number[], keep: boolean) => Value): Importer {
  return (node) => {
    const x = node.value(0);
    const known = node.operands.map((operand) => (isValue(operand) ? undefined : operand));
    const axes = axesOf(known, node.attributes) ?? x.shape.map((_, axis) => axis);
    return write(
      x,
      axes.map((axis) => node.axis(axis, x.shape.length)),
      node.number("keepdims", 1) === 1,
    );
  };
}

function mean(x: Value, axes: readonly number[], keep: boolean): Value {
  const count = product(axes.map((axis) => x.shape[axis]!));
  const sum = reduceSum(x, axes, keep);
  if (typeof count === "number") return mul(sum, 1 / count);
  return div(sum, cast(reshape(sizesOf(x.graph, [count]), []), "float32"));
}

function normalized(node: ImportedNode): Value {
  const x = node.value(0);
  if (node.axis(node.number("axis", -1), x.shape.length) !== x.shape.length - 1)
    node.refuse("it takes several axes together");
  return layerNorm(x, node.value(1), node.optional(2), node.number("epsilon", 1e-5));
}

/** Normalises each example and channel separately: `x [batch, channels, …space]`, scale and bias `[channels]`. */
const normalizedSpace: Importer = (node) => {
  const x = node.value(0);
  const space = x.shape.slice(2).map((_, axis) => axis + 2);
  const [scale, bias] = [1, 2].map((index) => reshape(node.value(index), [x.shape[1]!, ...space.map(() => 1)]));
  const centred = sub(x, mean(x, space, true));
  const deviation = sqrt(add(mean(mul(centred, centred), space, true), node.number("epsilon", 1e-5)));
  return add(mul(div(centred, deviation), scale!), bias!);
};

const rootMeanSquare: Importer = (node) => rmsNorm(node.value(0), node.value(1), node.number("epsilon", 1e-5));

/** Writes a layer, which methods may adapt if it is part of a block. */
function layer(node: ImportedNode): Value {
  const { inFeatures, outFeatures, name, role, block, bias } = node.node.layer!;
  const x = node.value(0);
  const leading: readonly Dimension[] = x.shape.slice(0, -1);
  const rows = reshape(x, [product(leading), inFeatures]);
  const y = role
    ? node.context.linear(rows, { name, role, block, inFeatures, outFeatures }, { bias })
    : node.context.dense(rows, name, inFeatures, outFeatures, { bias });
  return reshape(y, [...leading, outFeatures]);
}

/** Scaled dot-product attention, `[batch, heads, sequence, size]`. */
const attention: Importer = (node) => {
  const [query, key, value] = [node.value(0), node.value(1), node.value(2)];
  const mask = node.optional(3);
  const size = query.shape[3];
  const others = ["is_causal", "softcap", "qk_matmul_output_mode"].find((name) => node.number(name, 0) !== 0);
  if (others !== undefined) return node.refuse(`its option ${others} is not supported`);
  if (typeof size !== "number" || query.shape[1] !== key.shape[1] || node.operands[4] || node.operands[5]) {
    return node.refuse("only attention of as many heads of keys as of queries is supported, and no cache");
  }
  const scores = matmul(query, key, { transB: true, alpha: node.number("scale", 1 / Math.sqrt(size)) });
  const { graph } = node;
  const hidden = (seen: Value): Value =>
    where(seen, graph.constant([0], "float32"), graph.constant([LOWEST], "float32"));
  const bias = mask && (mask.dtype === "bool" ? hidden(mask) : mask);
  return matmul(softmax(bias ? add(scores, bias) : scores), value);
};

export const PRODUCTS: Readonly<Record<string, Importer>> = {
  Linear: layer,
  MatMul: matrixProduct,
  Gemm: generalProduct,
  "com.microsoft.FusedMatMul": fusedProduct,
  Attention: attention,
  Softmax: (node) => along(node, softmax),
  LogSoftmax: (node) => along(node, logSoftmax),
  ReduceSum: reduce(reduceSum),
  ReduceMean: reduce(mean),
  CumSum: (node) => {
    const x = node.value(0);
    const [axis = 0] = node.numbers(1) ?? [];
    const sums = cumulativeSum(x.dtype === "float32" ? x : cast(x, "float32"), node.axis(axis, x.shape.length));
    return x.dtype === "float32" ? sums : cast(sums, x.dtype);
  },
  InstanceNormalization: normalizedSpace,
  LayerNormalization: normalized,
  SimplifiedLayerNormalization: rootMeanSquare,
  RMSNormalization: rootMeanSquare,
  "com.microsoft.SkipLayerNormalization": (node) => {
    const [bias, sum] = [node.optional(4), add(node.value(0), node.value(1))];
    const whole = bias ? add(sum, bias) : sum;
    const y = layerNorm(whole, node.value(2), node.optional(3), node.number("epsilon", 1e-12));
    return [y, y, y, whole].slice(0, Math.max(1, node.node.outputs.length));
  },
};
