import { broadcast, type Shape, sameShape, showShape } from "../dimension.ts";
import type { Value } from "../graph.ts";
import { define, FLOATS, fail, MICROSOFT, requireType } from "./define.ts";
import { emitAs } from "./emit.ts";
import { transpose } from "./shape.ts";

const GEMM = define<[Value, Value, ...Value[]], { transA: boolean; transB: boolean; alpha: number }>({
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
  onnx: emitAs("Gemm", ({ transA, transB, alpha }) => ({
    attributes: {
      transA: Number(transA),
      transB: Number(transB),
      ...(alpha !== 1 && { alpha: { float: alpha } }),
    },
  })),
  gradient: ({ inputs: [a, b], attributes: { transA, transB, alpha } }, dy) => [
    transA ? gemm(b, dy, { transA: transB, transB: true, alpha }) : gemm(dy, b, { transB: !transB, alpha }),
    transB ? turnedGemm(dy, a, { transB: transA, alpha }) : gemm(a, dy, { transA: !transA, alpha }),
    dy,
  ],
  accumulate: ({ inputs: [a, b, c], attributes }, addend) => (c ? undefined : gemm(a, b, { ...attributes, addend })),
  macs: ({ inputs: [a], attributes: { transA }, outputs: [y] }) => [...y!.shape, a.shape[transA ? 0 : 1]!],
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
  return a.graph.apply(GEMM, addend ? [a, b, addend] : [a, b], { transA, transB, alpha });
}

/** Inner sizes of adapters: what is as thin is quick to turn. */
const THIN = 64;

/** `alpha · aᵀ · op(b)`; of a thin result its transpose is computed and turned, since turning the wide `a` takes longer. */
function turnedGemm(a: Value, b: Value, { transB, alpha }: { transB: boolean; alpha: number }): Value {
  const width = b.shape[transB ? 0 : 1]!;
  if (typeof width !== "number" || width > THIN) return gemm(a, b, { transA: true, transB, alpha });
  return transpose(gemm(b, a, { transA: !transB, alpha }), [1, 0]);
}

/** The operand's shape with its first axis moved to just before the last. */
const rotateBatch = (shape: Shape): Shape => [...shape.slice(1, -1), shape[0]!, shape.at(-1)!];

/** A gradient `[…batch, rows, columns]` laid out as `[rows, …batch, columns]`. */
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
  return a.graph.apply(MATMUL, [a, b], { transA, transB, transBatchA, transBatchB, alpha });
}
