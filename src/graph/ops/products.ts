import { broadcast, difference, sameShape, showShape } from "../dimension.ts";
import type { Value } from "../graph.ts";
import { define, eachRow, FLOATS, fail, MICROSOFT, requireType, THIN } from "./define.ts";
import { mul } from "./elementwise.ts";
import { emitAs } from "./emit.ts";
import { transpose } from "./shape.ts";
import { concat } from "./slices.ts";

/** Part of each size, of rows, columns and the inner dimension, that FLOP counts leave out. */
export type Uncounted = readonly [rows: number, columns: number, inner: number];
type GemmAttributes = { transA: boolean; transB: boolean; alpha: number; uncounted: Uncounted };
const NOTHING: Uncounted = [0, 0, 0];

const GEMM = define<[Value, Value, ...Value[]], GemmAttributes>({
  name: "Gemm",
  infer(inputs, { transA, transB }) {
    requireType("Gemm", inputs, FLOATS);
    const [a, b, c] = inputs;
    if (a.shape.length !== 2 || b.shape.length !== 2) fail("Gemm", inputs, "takes matrices");
    const [m, ka] = transA ? [a.shape[1]!, a.shape[0]!] : [a.shape[0]!, a.shape[1]!];
    const [kb, n] = transB ? [b.shape[1]!, b.shape[0]!] : [b.shape[0]!, b.shape[1]!];
    if (ka !== kb) fail("Gemm", inputs, `the inner sizes ${ka} and ${kb} differ`);
    if (c && !sameShape(broadcast(c.shape, [m, n]) ?? [], [m, n])) {
      fail("Gemm", inputs, `the addend does not broadcast to ${showShape([m, n])}`);
    }
    return [{ dtype: a.dtype, shape: [m, n] }];
  },
  onnx({ inputs: [a, b, c], attributes: { transA, transB, alpha }, outputs }, emitter) {
    const [y] = outputs;
    const attributes = {
      transA: Number(transA),
      transB: Number(transB),
      ...(alpha !== 1 && { alpha: { float: alpha } }),
    };
    // ONNX Runtime copies an addend with one thread before it multiplies, but adds matrices with all.
    if (c && sameShape(c.shape, y!.shape))
      emitter.emit("Add", [emitter.emit("Gemm", [a, b], { attributes }), c], { outputs });
    else emitter.emit("Gemm", c ? [a, b, c] : [a, b], { attributes, outputs });
  },
  gradient({ inputs: [a, b], attributes: { transA, transB, alpha, uncounted } }, dy) {
    const [m, n, k] = uncounted;
    return [
      transA
        ? gemm(b, dy, { transA: transB, transB: true, alpha, uncounted: [k, m, n] })
        : gemm(dy, b, { transB: !transB, alpha, uncounted: [m, k, n] }),
      transB
        ? transposedGemm(dy, a, { transB: transA, alpha, uncounted: [n, k, m] })
        : gemm(a, dy, { transA: !transA, alpha, uncounted: [k, n, m] }),
      dy,
    ];
  },
  accumulate: ({ inputs: [a, b, c], attributes }, addend) => (c ? undefined : gemm(a, b, { ...attributes, addend })),
  rows: (node, ...rest) => (node.attributes.transA ? undefined : eachRow(node, ...rest)),
  macs: ({ inputs: [a], attributes: { transA, uncounted }, outputs: [y] }) =>
    [...y!.shape, a.shape[transA ? 0 : 1]!].map((size, i) => difference(size, uncounted[i]!)),
});

/** Options of `gemm`. */
export interface GemmOptions {
  transA?: boolean;
  transB?: boolean;
  alpha?: number;
  /** Added to the product, broadcast. A whole matrix costs no more than a bias. */
  addend?: Value | undefined;
  /** Sizes that FLOP counts leave out. */
  uncounted?: Uncounted;
}

/**
 * Matrix product: `alpha · op(a) · op(b) + addend`, `[m, k] × [k, n] → [m, n]`. If it is thin and its addend is a thin
 * product, both become one.
 */
export function gemm(
  a: Value,
  b: Value,
  { transA = false, transB = false, alpha = 1, addend, uncounted = NOTHING }: GemmOptions = {},
): Value {
  const attributes = { transA, transB, alpha, uncounted };
  if (addend?.node?.inputs[2] && isThinProduct(addend) && isThin(b, attributes)) {
    const [, , first] = addend.node.inputs;
    return joined([factorsOf(addend), factors(a, b, attributes)], first);
  }
  return a.graph.apply(GEMM, addend ? [a, b, addend] : [a, b], attributes);
}

/** Whether a product with `op(b)` is thin: `[m, k] · [k, n]` with k ≤ 16, its first factor not transposed. */
function isThin(b: Value, { transA, transB }: Pick<GemmAttributes, "transA" | "transB">): boolean {
  const inner = b.shape[transB ? 1 : 0]!;
  return !transA && typeof inner === "number" && inner <= THIN;
}

function isThinProduct({ node }: Value): boolean {
  return node?.op.name === GEMM.name && isThin(node.inputs[1]!, node.attributes as GemmAttributes);
}

interface Factors {
  left: Value;
  right: Value;
  uncounted: number;
}

function factors(a: Value, b: Value, { transB, alpha, uncounted }: GemmAttributes): Factors {
  return {
    left: alpha === 1 ? a : mul(a, alpha),
    right: transB ? transpose(b, [1, 0]) : b,
    uncounted: uncounted[2],
  };
}

function factorsOf({ node }: Value): Factors {
  const [a, b] = node!.inputs;
  return factors(a!, b!, node!.attributes as GemmAttributes);
}

function joined(products: readonly Factors[], addend: Value | undefined): Value {
  return gemm(
    concat(
      products.map(({ left }) => left),
      1,
    ),
    concat(
      products.map(({ right }) => right),
      0,
    ),
    { addend, uncounted: [0, 0, products.reduce((sum, { uncounted }) => sum + uncounted, 0)] },
  );
}

/**
 * Joins the thin products among summands `[m, n]`, those `[m, k] · [k, n]` with k ≤ 16, into one. Returns it, and the
 * addends and other summands separately.
 */
export function joinThinProducts(summands: readonly Value[]): { product?: Value; others: Value[] } {
  const thin = summands.filter(isThinProduct);
  if (thin.length < 2) return { others: [...summands] };
  const { node } = thin.find((value) => (value.node!.attributes as GemmAttributes).uncounted[2] === 0) ?? thin[0]!;
  const products = thin.map(factorsOf);
  return {
    product: thin[0]!.graph.within(node!.provenance, () => joined(products, undefined)),
    others: [
      ...summands.filter((summand) => !isThinProduct(summand)),
      ...thin.flatMap((value) => value.node!.inputs[2] ?? []),
    ],
  };
}

/**
 * `alpha · aᵀ · op(b)`. For a thin result, computing its transpose and turning that is faster than transposing the wide
 * `a`.
 */
function transposedGemm(a: Value, b: Value, options: { transB: boolean; alpha: number; uncounted: Uncounted }): Value {
  const { transB, uncounted } = options;
  const width = b.shape[transB ? 0 : 1]!;
  if (typeof width !== "number" || width > THIN) return gemm(a, b, { ...options, transA: true });
  const [rows, columns, inner] = uncounted;
  const transposed = gemm(b, a, { ...options, transA: !transB, transB: false, uncounted: [columns, rows, inner] });
  return transpose(transposed, [1, 0]);
}

const rotateBatch = <Axis>(shape: readonly Axis[]): Axis[] => [...shape.slice(1, -1), shape[0]!, shape.at(-1)!];

/** Transposes a gradient `[…batch, rows, columns]` to `[rows, …batch, columns]`. */
function storeRotated(gradient: Value): Value {
  const rank = gradient.shape.length;
  return transpose(gradient, [rank - 2, ...Array.from({ length: rank - 2 }, (_, axis) => axis), rank - 1]);
}

const MATMUL = define<
  [Value, Value],
  { transA: boolean; transB: boolean; transBatchA: boolean; transBatchB: boolean; alpha: number }
>({
  name: "FusedMatMul",
  infer(inputs, { transA, transB, transBatchA, transBatchB }) {
    requireType("FusedMatMul", inputs, FLOATS);
    const [a, b] = inputs;
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
  onnx: emitAs("FusedMatMul", ({ transA, transB, transBatchA, transBatchB, alpha }) => ({
    domain: MICROSOFT,
    attributes: {
      transA: Number(transA),
      transB: Number(transB),
      transBatchA: Number(transBatchA),
      transBatchB: Number(transBatchB),
      ...(alpha !== 1 && { alpha: { float: alpha } }),
    },
  })),
  plainOnnx({ inputs: [a, b], outputs, attributes: { transA, transB, transBatchA, transBatchB, alpha } }, emitter) {
    const transposed = (operand: Value, trans: boolean, transBatch: boolean): Value | string => {
      const axes = operand.shape.map((_, axis) => axis);
      const rotated = transBatch ? rotateBatch(axes) : axes;
      const perm = trans ? [...rotated.slice(0, -2), rotated.at(-1)!, rotated.at(-2)!] : rotated;
      return trans || transBatch ? emitter.emit("Transpose", [operand], { attributes: { perm } }) : operand;
    };
    const operands = [transposed(a, transA, transBatchA), transposed(b, transB, transBatchB)];
    if (alpha === 1) emitter.emit("MatMul", operands, { outputs });
    else emitter.emit("Mul", [emitter.emit("MatMul", operands), emitter.scalar(a.dtype, alpha)], { outputs });
  },
  gradient({ inputs: [a, b], attributes: { transA, transB, transBatchA, transBatchB, alpha } }, dy) {
    const da = transA
      ? matmul(b, dy, { transA: transB, transBatchA: transBatchB, transB: true, alpha })
      : matmul(dy, b, { transB: !transB, transBatchB, alpha });
    const db = transB
      ? matmul(dy, a, { transA: true, transB: transA, transBatchB: transBatchA, alpha })
      : matmul(a, dy, { transA: !transA, transBatchA, alpha });
    return [transBatchA ? storeRotated(da) : da, transBatchB ? storeRotated(db) : db];
  },
  macs: ({ inputs: [a], attributes: { transA, transBatchA }, outputs: [y] }) => [
    ...y!.shape,
    (transBatchA ? rotateBatch(a.shape) : a.shape).at(transA ? -2 : -1)!,
  ],
});

/** Options of `matmul`. */
export interface MatmulOptions {
  transA?: boolean;
  transB?: boolean;
  /** Whether the operand is stored as `[m, …batch, k]`. */
  transBatchA?: boolean;
  transBatchB?: boolean;
  alpha?: number;
}

/**
 * Batched matrix product, `alpha · op(a) · op(b)`: `[…batch, m, k] × […batch, k, n] → […batch, m, n]`, leading sizes
 * broadcast. float32 only.
 */
export function matmul(a: Value, b: Value, options: MatmulOptions = {}): Value {
  const { transA = false, transB = false, transBatchA = false, transBatchB = false, alpha = 1 } = options;
  return a.graph.apply(MATMUL, [a, b], { transA, transB, transBatchA, transBatchB, alpha });
}
