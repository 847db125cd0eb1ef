import fc from "fast-check";
import * as onnxRuntime from "onnxruntime-node";
import { describe, expect, test } from "vitest";
import { evaluate, product, type Shape, ShapeError, sum } from "../../src/graph/dimension.ts";
import { gradients } from "../../src/graph/gradients.ts";
import { Graph, liveNodes, type Value } from "../../src/graph/graph.ts";
import * as op from "../../src/graph/ops.ts";
import { asFloat32, copyOf, type DataType, float32, int32, type Tensor } from "../../src/graph/tensor.ts";
import { webgpu } from "../../src/runtime/devices/webgpu.ts";
import { DEVICES } from "../../src/runtime/devices.ts";
import type { OnnxRuntime } from "../../src/runtime/onnx-runtime.ts";
import { Runtime } from "../../src/runtime/session.ts";
import { runtime } from "../support/runtime.ts";

/** Compiles the plain form, as for WebGPU, and runs it on the CPU. */
const forWebGpu = new Runtime(
  {
    ...onnxRuntime,
    InferenceSession: {
      create: (bytes: Uint8Array) => onnxRuntime.InferenceSession.create(bytes, { executionProviders: ["cpu"] }),
    },
  } as unknown as OnnxRuntime,
  { device: webgpu, threads: 1 },
);

/** An example of an op: the operands' shapes and how it is applied. */
interface Case {
  shapes: Shape[];
  /** Range of the operands' values, away from poles and kinks. */
  low?: number;
  high?: number;
  /** Sizes of symbols in the shapes. */
  sizes?: Record<string, number>;
  /** Indices of a look-up. */
  indices?: { shape: Shape; data: number[] }[];
  apply(operands: Value[], indices: Value[]): Value;
}

const size = fc.integer({ min: 1, max: 4 });
const shape = (minLength: number, maxLength: number): fc.Arbitrary<number[]> =>
  fc.array(size, { minLength, maxLength });
const flag = fc.boolean();

/** Two shapes that broadcast: some sizes set to 1, leading axes of one dropped. */
const broadcastPair = fc
  .tuple(
    shape(1, 3),
    fc.array(fc.constantFrom("both", "left", "right"), { minLength: 3, maxLength: 3 }),
    fc.nat(2),
    flag,
  )
  .map(([full, modes, drop, dropLeft]) => {
    const left = full.map((d, i) => (modes[i] === "left" ? 1 : d));
    const right = full.map((d, i) => (modes[i] === "right" ? 1 : d));
    return dropLeft ? [left.slice(drop), right] : [left, right.slice(drop)];
  });

const binary = (apply: (a: Value, b: Value) => Value): fc.Arbitrary<Case> =>
  broadcastPair.map((shapes) => ({ shapes, low: 0.5, high: 2, apply: ([a, b]) => apply(a!, b!) }));
const unary = (apply: (x: Value) => Value, low = -2, high = 2): fc.Arbitrary<Case> =>
  shape(1, 3).map((s) => ({ shapes: [s], low, high, apply: ([x]) => apply(x!) }));
const lastAxis = (apply: (x: Value) => Value): fc.Arbitrary<Case> =>
  shape(1, 3).map((s) => ({ shapes: [[...s, 3]], apply: ([x]) => apply(x!) }));

/** Layout of examples of `lengths` tokens: their flat rows, and their positions in `[batch, sequence]`. */
function layOut(lengths: readonly number[]): { paddedRows: number[]; rowPositions: number[]; sequence: number } {
  const sequence = Math.max(...lengths);
  const paddedRows = new Array<number>(lengths.length * sequence).fill(-1);
  const rowPositions: number[] = [];
  lengths.forEach((length, example) => {
    for (let i = 0; i < length; i++) {
      const place = example * sequence + i;
      paddedRows[place] = rowPositions.length;
      rowPositions.push(place);
    }
  });
  return { paddedRows, rowPositions, sequence };
}

const raggedRows = fc.array(size, { minLength: 1, maxLength: 3 }).map((lengths) => {
  const { paddedRows, rowPositions, sequence } = layOut(lengths);
  return {
    sizes: { batch: lengths.length, sequence, tokens: rowPositions.length },
    indices: [
      { shape: ["batch", "sequence"], data: paddedRows },
      { shape: ["tokens"], data: rowPositions },
    ],
  };
});

/** 1 at padding, 0 at real tokens. */
const isPadding = (paddedRows: Value): Value => op.relu(op.neg(op.cast(paddedRows, "float64")));

/** Every token attends to all real tokens of its example; padding has no effect. */
function paddedAttention(x: Value, paddedRows: Value, rowPositions: Value): Value {
  const width = x.shape[1]!;
  const padded = op.pad(x, paddedRows, rowPositions);
  const queries = op.reshape(padded, ["batch", "sequence", 1, width]);
  const keys = op.reshape(padded, ["batch", 1, "sequence", width]);
  const scores = op.reduceSum(op.mul(queries, keys), [-1]);
  const mask = op.reshape(op.mul(isPadding(paddedRows), -1e30), ["batch", 1, "sequence"]);
  const probabilities = op.softmax(op.add(scores, mask));
  const mixed = op.reduceSum(op.mul(op.reshape(probabilities, ["batch", "sequence", "sequence", 1]), keys), [2]);
  return op.unpad(mixed, paddedRows, rowPositions);
}

const cases: Record<string, fc.Arbitrary<Case>> = {
  Add: binary(op.add),
  Sub: binary(op.sub),
  Mul: binary(op.mul),
  Div: binary(op.div),
  Neg: unary(op.neg),
  Exp: unary(op.exp),
  Log: unary(op.log, 0.5, 3),
  Sqrt: unary(op.sqrt, 0.5, 3),
  Tanh: unary(op.tanh),
  Sin: unary(op.sin),
  Cos: unary(op.cos),
  Sigmoid: unary(op.sigmoid),
  Softplus: unary(op.softplus),
  Relu: unary((x) => op.relu(op.sub(x, 1.2)), 0.1, 1).chain((c) => fc.constantFrom(c, { ...c, low: 1.4, high: 2 })),
  Abs: unary(op.abs, -2, -0.5).chain((c) => fc.constantFrom(c, { ...c, low: 0.5, high: 2 })),
  Gelu: unary(op.gelu, -3, 3),
  Erf: unary(op.erf),
  Where: binary((a, b) => op.where(op.greater(op.mul(a, 1.5), op.mul(b, 1.2)), op.mul(a, a), b)),
  Gemm: fc
    .tuple(size, size, size, flag, flag, fc.constantFrom(0, 1, 2, 3, 4))
    .map(([m, k, n, transA, transB, addend]) => ({
      shapes: [
        transA ? [k, m] : [m, k],
        transB ? [n, k] : [k, n],
        ...[[], [[n]], [[1, n]], [[m, n]], [[m, 1]]][addend]!,
      ],
      apply: ([a, b, c]) => op.gemm(a!, b!, { transA, transB, alpha: 0.7, addend: c }),
    })),
  FusedMatMul: fc
    .tuple(
      fc.array(size, { minLength: 1, maxLength: 3 }),
      size,
      size,
      size,
      fc.tuple(flag, flag, flag, flag),
      fc.tuple(fc.constantFrom("a", "b", undefined), fc.constantFrom(0, -1)),
    )
    .map(([batch, m, k, n, [transA, transB, transBatchA, transBatchB], [broadcast, axis]]) => {
      const stored = (leading: number[], rows: number, columns: number, trans: boolean, transBatch: boolean) => {
        const [r, c] = trans ? [columns, rows] : [rows, columns];
        return transBatch ? [r, ...leading, c] : [...leading, r, c];
      };
      const single = batch.with(axis, 1);
      return {
        shapes: [
          stored(broadcast === "a" ? single : batch, m, k, transA, transBatchA),
          stored(broadcast === "b" ? single : batch, k, n, transB, transBatchB),
        ],
        apply: ([a, b]) => op.matmul(a!, b!, { transA, transB, transBatchA, transBatchB, alpha: 0.7 }),
      };
    }),
  ReduceSum: fc.tuple(shape(3, 3), fc.subarray([0, 1, -1], { minLength: 1 }), flag).map(([s, axes, keep]) => ({
    shapes: [s],
    apply: ([x]) => op.reduceSum(x!, axes, keep),
  })),
  Softmax: fc.tuple(shape(1, 3), flag).map(([s, dropout]) => ({
    shapes: [[...s, 3]],
    apply: ([x]) => {
      const size = s.reduce((product, d) => product * d, 3);
      const mask = Array.from({ length: size }, (_, i) => (i % 4 === 1 ? 0 : 1.25));
      return op.softmax(x!, dropout ? x!.graph.constant(mask, x!.dtype, x!.shape) : undefined);
    },
  })),
  LogSoftmax: lastAxis(op.logSoftmax),
  LogLikelihood: fc.tuple(size, fc.array(fc.nat(4), { minLength: 1, maxLength: 5 })).map(([width, targets]) => ({
    shapes: [["looked", width]],
    indices: [{ shape: ["looked"], data: targets.map((target) => target % width) }],
    sizes: { looked: targets.length },
    apply: ([x], [index]) => op.logLikelihood(x!, index!),
  })),
  LayerNormalization: fc.tuple(shape(1, 2), fc.integer({ min: 2, max: 5 }), flag).map(([rows, width, bias]) => ({
    shapes: [[...rows, width], [width], ...(bias ? [[width]] : [])],
    apply: ([x, scale, shift]) => op.layerNorm(x!, scale!, shift, 0.05),
  })),
  SimplifiedLayerNormalization: fc.tuple(shape(1, 2), fc.integer({ min: 2, max: 5 })).map(([rows, width]) => ({
    shapes: [[...rows, width], [width]],
    apply: ([x, scale]) => op.rmsNorm(x!, scale!, 0.05),
  })),
  RotaryEmbedding: fc.tuple(size, size, size, fc.constantFrom(0, 2)).map(([rows, heads, pairs, still]) => ({
    shapes: [["tokens", heads * (2 * pairs + still)]],
    sizes: { tokens: rows },
    apply: ([x]) => {
      const angles = op.slice(op.mul(x!, 0), 1, 0, pairs);
      const position = op.add(
        angles,
        x!.graph.constant(
          Array.from({ length: pairs }, (_, i) => 0.3 + i),
          "float32",
          [pairs],
        ),
      );
      return op.rotate(x!, op.cos(position), op.sin(position), heads);
    },
  })),
  Conv: fc
    .tuple(fc.constantFrom(1, 2), fc.constantFrom(1, 2, 3), flag, fc.infiniteStream(fc.integer({ min: 1, max: 3 })))
    .map(([rank, groups, symbolic, stream]) => {
      const numbers = (count: number, most: number): number[] =>
        Array.from({ length: count }, () => 1 + (stream.next().value! % most));
      const [kernel, strides, dilations] = [3, 3, 2].map((most) => numbers(rank, most)) as [
        number[],
        number[],
        number[],
      ];
      const pads = numbers(2 * rank, 3).map((pad) => pad - 1);
      // One kernel position or more, and elements at the end that no position covers.
      const space = numbers(rank, 3).map((more, axis) => dilations[axis]! * (kernel[axis]! - 1) + more);
      const [batch, own, out, steps] = numbers(4, 2) as [number, number, number, number];
      // An axis with a symbolic size has a multiple of the stride more elements.
      const [first, ...others] = space as [number, ...number[]];
      const sizes = symbolic ? [sum([product([strides[0]!, "steps"]), first]), ...others] : space;
      return {
        shapes: [[symbolic ? "batch" : batch, groups * own, ...sizes], [groups * out, own, ...kernel], ["steps"]],
        sizes: { batch, steps },
        apply: ([x, weight, y]) =>
          op.mul(op.convolve(x!, weight!, { strides, pads, dilations, groups }), op.reduceSum(y!, [0])),
      };
    }),
  MaxPool: fc
    .tuple(fc.constantFrom(1, 2), flag, fc.infiniteStream(fc.integer({ min: 1, max: 3 })))
    .map(([rank, symbolic, stream]) => {
      const numbers = (most: number): number[] => Array.from({ length: rank }, () => 1 + (stream.next().value! % most));
      const [kernel, strides, dilations] = [3, 3, 2].map(numbers) as [number[], number[], number[]];
      const pads = [...kernel, ...kernel].map((each) => stream.next().value! % each);
      const space = numbers(3).map((more, axis) => dilations[axis]! * (kernel[axis]! - 1) + more);
      return {
        shapes: [[symbolic ? "batch" : 2, 2, ...space]],
        sizes: { batch: 2 },
        apply: ([x]) => op.maxPool(x!, { kernel, strides, pads, dilations }),
      };
    }),
  Reshape: fc.tuple(size, size, size).map(([a, b, c]) => ({
    shapes: [["batch*sequence", c * 2], ["batch"], ["sequence"]],
    sizes: { batch: a, sequence: b },
    apply: ([x, p, q]) =>
      op.add(
        op.mul(op.reshape(x!, ["sequence", "batch", 2, c]), op.reshape(p!, ["batch", 1, 1])),
        op.reshape(op.mul(q!, 1), ["sequence", 1, 1, 1]),
      ),
  })),
  Expand: broadcastPair.chain(([a, b]) =>
    fc.constant({
      shapes: [b!.length <= a!.length ? b! : a!],
      apply: ([x]: Value[]) =>
        op.expand(
          x!,
          x!.shape.map((d) => (d === 1 ? 3 : d)),
        ),
    }),
  ),
  Transpose: fc.tuple(shape(3, 3), fc.shuffledSubarray([0, 1, 2], { minLength: 3 })).map(([s, permutation]) => ({
    shapes: [s],
    apply: ([x]) => op.transpose(x!, permutation),
  })),
  Concat: fc.tuple(shape(2, 2), size, size, fc.constantFrom(0, 1), flag).map(([s, n, m, axis, symbolic]) => ({
    shapes: (symbolic ? ["past", "sequence"] : [n, m]).map((size) => s.map((d, i) => (i === axis ? size : d))),
    sizes: { past: n, sequence: m },
    apply: (values) => op.concat(values, axis),
  })),
  Slice: fc.tuple(size, size, size, flag).map(([before, length, after, symbolic]) => ({
    shapes: [[2, symbolic ? "n" : before + length + after], ["batch"]],
    sizes: { n: before + length + after, batch: length },
    apply: ([x, y]) => op.mul(op.sliceSize(x!, 1, before, symbolic ? "batch" : length), op.reduceSum(y!, [0])),
  })),
  Pad: fc.tuple(size, size, size, flag).map(([before, length, after, symbolic]) => ({
    shapes: [["batch", 2], ["n"]],
    sizes: { batch: length, n: before + length + after },
    apply: ([x, y]) => op.mul(op.padTo(x!, 0, before, symbolic ? "n" : before + length + after), op.reduceSum(y!, [0])),
  })),
  AlignDistances: fc.tuple(size, size).map(([n, leading]) => ({
    shapes: [[leading, "sequence", "2*sequence"], ["sequence"]],
    sizes: { sequence: n },
    apply: ([x, y]) => op.mul(op.alignDistances(x!), y!),
  })),
  Gather: fc.tuple(size, fc.array(fc.nat(3), { minLength: 1, maxLength: 6 })).map(([width, indices]) => ({
    shapes: [[4, width]],
    indices: [{ shape: ["looked"], data: indices }],
    sizes: { looked: indices.length },
    apply: ([table], [index]) => op.gather(table!, index!),
  })),
  GatherElements: fc
    .tuple(size, fc.array(fc.nat(3), { minLength: 2, maxLength: 6 }), flag)
    .map(([rows, picks, last]) => ({
      shapes: [last ? [1, 4] : [4, 1], ["rows"]],
      indices: [{ shape: last ? [1, "looked"] : ["looked", 1], data: picks }],
      sizes: { looked: picks.length, rows },
      apply: ([x, y], [index]) => op.mul(op.gatherElements(x!, index!, last ? 1 : 0), op.reduceSum(y!, [0])),
    })),
  PadRows: fc.tuple(raggedRows, size, fc.constantFrom("zeros", "attention")).map(([ragged, width, use]) => ({
    ...ragged,
    shapes: [["tokens", width]],
    apply: ([x], [paddedRows, rowPositions]) =>
      use === "zeros"
        ? op.pad(x!, paddedRows!, rowPositions!, { zeros: true })
        : paddedAttention(x!, paddedRows!, rowPositions!),
  })),
  UnpadRows: fc.tuple(raggedRows, shape(0, 2)).map(([ragged, width]) => ({
    ...ragged,
    shapes: [["batch", "sequence", ...width]],
    apply: ([x], [paddedRows, rowPositions]) => op.unpad(op.tanh(x!), paddedRows!, rowPositions!),
  })),
};

/** Ops with float32 kernels only in ONNX Runtime (LayerNormalization's mean and deviation are always float32). */
/** Ops whose gradients use Sign, which has none itself. */
const ofSign = new Set(["Relu", "Abs"]);
const float32Only = new Set(["Conv", "Gelu", "Erf", "FusedMatMul", "LayerNormalization", "RotaryEmbedding"]);

/** A reproducible number in [low, high). */
function pseudoRandom(seed: number): number {
  const x = Math.sin(seed * 12.9898 + 78.233) * 43758.5453;
  return x - Math.floor(x);
}

async function checkGradient(name: string, sample: Case, on = runtime): Promise<void> {
  const dtype: DataType = float32Only.has(name) ? "float32" : "float64";
  const [step, tolerance] = dtype === "float64" ? [1e-5, 1e-6] : [1e-2, 4e-3];
  const { low = -2, high = 2, sizes = {}, indices = [] } = sample;
  const graph = new Graph();
  const operands = sample.shapes.map((s, i) => graph.leaf("input", `x${i}`, dtype, s));
  const y = sample.apply(
    operands,
    indices.map((index, i) => graph.leaf("input", `indices${i}`, "int32", index.shape)),
  );
  const direction = graph.leaf("input", "direction", dtype, y.shape);
  const loss = op.sumAll(op.mul(y, direction));
  const derivatives = gradients(loss, operands);

  const FloatArray = dtype === "float64" ? Float64Array : Float32Array;
  const random = (s: Shape, seed: number, from: number, to: number): Tensor => {
    const numbers = s.map((d) => evaluate(d, sizes));
    const count = numbers.reduce((a, b) => a * b, 1);
    const data = FloatArray.from(
      Array.from({ length: count }, (_, i) => from + (to - from) * pseudoRandom(seed * 1000 + i)),
    );
    return { dtype, data, shape: numbers };
  };
  const inputs: Record<string, Tensor> = { direction: random(y.shape, 99, 0.5, 1.5) };
  indices.forEach(({ shape, data }, i) => {
    const numbers = shape.map((d) => evaluate(d, sizes));
    inputs[`indices${i}`] = int32(numbers, Int32Array.from(data));
  });
  operands.forEach((_, i) => {
    inputs[`x${i}`] = random(sample.shapes[i]!, i, low, high);
  });
  const compiled = await on.compile(
    { loss, ...Object.fromEntries(derivatives.map((d, i) => [`d${i}`, d])) },
    new Map(),
  );
  try {
    const analytic = await compiled.run(inputs);
    for (const [i] of operands.entries()) {
      const { data } = inputs[`x${i}`]!;
      for (let j = 0; j < data.length; j++) {
        const before = data[j] as number;
        data[j] = before + step;
        const above = (await compiled.run(inputs)).loss!.data[0]! as number;
        data[j] = before - step;
        const below = (await compiled.run(inputs)).loss!.data[0]! as number;
        data[j] = before;
        const expected = (above - below) / (2 * step);
        const found = analytic[`d${i}`]!.data[j]! as number;
        expect(
          Math.abs(found - expected),
          `operand ${i}, element ${j}: ${found}, by differences ${expected}`,
        ).toBeLessThan(tolerance * Math.max(1, Math.abs(expected)));
      }
    }
  } finally {
    await compiled.release();
  }
}

describe("gradient rules against central differences", () => {
  test("every differentiable op has a case", () => {
    const differentiable = [...op.ops.values()].filter(({ gradient }) => gradient).map(({ name }) => name);
    // Formats of frozen weights add ops when they are imported; linear.test.ts tests them.
    const own = differentiable.filter((name) => !/^(Linear|Lookup).*Int[48]$/.test(name));
    expect(Object.keys(cases).sort()).toEqual(own.sort());
  });

  test.each(Object.keys(cases))("%s", async (name) => {
    await fc.assert(
      fc.asyncProperty(cases[name]!, (sample) => checkGradient(name, sample)),
      { numRuns: 15, seed: 1 },
    );
  });

  test("an op has a plain form if and only if a device needs it", () => {
    const plain = [...op.ops.values()].filter(({ plainOnnx }) => plainOnnx).map(({ name }) => name);
    const asked = new Set(DEVICES.all.flatMap(({ plainOps }) => [...(plainOps ?? [])]));
    expect([...asked].sort()).toEqual(plain.sort());
  });

  test.each(Object.keys(cases).filter((name) => op.ops.get(name)!.plainOnnx || ofSign.has(name)))(
    "%s in its plain form",
    async (name) => {
      await fc.assert(
        fc.asyncProperty(cases[name]!, (sample) => checkGradient(name, sample, forWebGpu)),
        { numRuns: 15, seed: 1 },
      );
    },
  );

  test("gelu's gradient is right at 0 and far from it", async () => {
    const graph = new Graph();
    const x = graph.leaf("input", "x", "float32", ["n"]);
    const [dx] = gradients(op.sumAll(op.gelu(x)), [x]);
    const compiled = await runtime.compile({ dx: dx! }, new Map());
    const { dx: found } = await compiled.run({ x: float32([5], Float32Array.of(0, -0, 1e-20, 30, -30)) });
    await compiled.release();
    [0.5, 0.5, 0.5, 1, 0].forEach((expected, i) => {
      expect(found!.data[i]).toBeCloseTo(expected, 5);
    });
  });
});

test("a target is a hit if it has the first of the largest outputs", async () => {
  const graph = new Graph();
  const logits = graph.leaf("input", "logits", "float32", ["rows", 3]);
  const targets = graph.leaf("input", "targets", "int32", ["rows"]);
  expect(() => op.hits(logits, graph.leaf("input", "other", "int32", ["others"]))).toThrow(ShapeError);
  const compiled = await runtime.compile({ hits: op.hits(logits, targets) }, new Map());
  const found = await compiled.run({
    logits: float32([4, 3], Float32Array.of(1, 5, 2, 1, 5, 2, 4, 4, 0, 4, 4, 0)),
    targets: int32([4], Int32Array.of(1, 2, 0, 1)),
  });
  await compiled.release();
  expect([...asFloat32(found.hits!).data]).toEqual([1, 0, 1, 0]);
});

test("aligns rows by distance: y[i, j] = x[i, n + j - i]", async () => {
  const graph = new Graph();
  const x = graph.leaf("input", "x", "float32", ["batch", "n", "2*n"]);
  const compiled = await runtime.compile({ y: op.alignDistances(x) }, new Map());
  const data = Float32Array.from({ length: 36 }, (_, i) => i);
  const { y } = await compiled.run({ x: float32([2, 3, 6], data) });
  await compiled.release();
  expect([...asFloat32(y!).data]).toEqual([3, 4, 5, 8, 9, 10, 13, 14, 15, 21, 22, 23, 26, 27, 28, 31, 32, 33]);
});

test.each([false, true])("pad and unpad equal a loop over rows (zeros: %s)", async (zeros) => {
  const lengths = [2, 4, 1];
  const { paddedRows, rowPositions, sequence } = layOut(lengths);
  const rows = Array.from({ length: rowPositions.length * 2 }, (_, i) => i + 1);
  const graph = new Graph();
  const paddedRowsLeaf = graph.leaf("input", "paddedRows", "int32", ["batch", "sequence"]);
  const rowPositionsLeaf = graph.leaf("input", "rowPositions", "int32", ["tokens"]);
  const padded = op.pad(graph.leaf("input", "rows", "float32", ["tokens", 2]), paddedRowsLeaf, rowPositionsLeaf, {
    zeros,
  });
  expect(padded.shape).toEqual(["batch", "sequence", 2]);
  const back = op.unpad(padded, paddedRowsLeaf, rowPositionsLeaf);
  expect(back.shape).toEqual(["tokens", 2]);
  const compiled = await runtime.compile({ padded, back }, new Map());
  const found = await compiled.run({
    rows: float32([rowPositions.length, 2], Float32Array.from(rows)),
    paddedRows: int32([lengths.length, sequence], Int32Array.from(paddedRows)),
    rowPositions: int32([rowPositions.length], Int32Array.from(rowPositions)),
  });
  await compiled.release();
  expect([...asFloat32(found.back!).data]).toEqual(rows);
  const { data } = asFloat32(found.padded!);
  let row = 0;
  lengths.forEach((length, example) => {
    for (let i = 0; i < sequence; i++) {
      const place = example * sequence + i;
      if (i < length) {
        expect([...data.slice(place * 2, place * 2 + 2)]).toEqual([rows[row * 2], rows[row * 2 + 1]]);
        row++;
      } else if (zeros) {
        expect([...data.slice(place * 2, place * 2 + 2)]).toEqual([0, 0]);
      }
    }
  });
});

describe("shape errors", () => {
  const PLAIN = { strides: [1, 1], pads: [0, 0, 0, 0], dilations: [1, 1], groups: 1 };
  const graph = new Graph();
  const leaf = (name: string, s: Shape): Value => graph.leaf("frozen", name, "float32", s);
  const int = (name: string, s: Shape): Value => graph.leaf("input", name, "int32", s);

  test("name the op, the operands and their shapes", () => {
    expect(() => op.gemm(leaf("hidden", ["batch", 8]), leaf("weight", [4, 9]), { transB: true })).toThrow(
      /Gemm: the inner sizes 8 and 9 differ \(operands: hidden float32\[batch, 8\], weight float32\[4, 9\]\)/,
    );
  });

  test.each<[string, () => Value]>([
    ["Add", () => op.add(leaf("a", [2, 3]), leaf("b", [2, 4]))],
    ["Gemm", () => op.gemm(leaf("a", [2, 3]), leaf("c", [2, 3, 1]))],
    ["Gemm", () => op.gemm(leaf("a", [2, 3]), leaf("d", [3, 2]), { addend: leaf("e", [3]) })],
    ["FusedMatMul", () => op.matmul(leaf("f", ["batch", 2, 3]), leaf("g", ["sequence", 3, 2]))],
    ["Conv", () => op.convolve(leaf("j", [2, 3, 4, 4]), leaf("k", [2, 2, 3, 3]), PLAIN)],
    ["Conv", () => op.convolve(leaf("l", [2, 3, 2]), leaf("m", [2, 3, 3]), PLAIN)],
    ["MaxPool", () => op.maxPool(leaf("l", [2, 3, 2]), { ...PLAIN, kernel: [3] })],
    ["MaxPool", () => op.maxPool(leaf("j", [2, 3, 4, 4]), { ...PLAIN, kernel: [3] })],
    ["ReduceSum", () => op.reduceSum(leaf("a", [2, 3]), [2])],
    ["LayerNormalization", () => op.layerNorm(leaf("a", [2, 3]), leaf("h", [2]), undefined, 1e-5)],
    ["Reshape", () => op.reshape(leaf("i", ["batch", 6]), ["batch", 5])],
    ["Expand", () => op.expand(leaf("a", [2, 3]), [4, 3])],
    ["Transpose", () => op.transpose(leaf("a", [2, 3]), [0, 0])],
    ["Concat", () => op.concat([leaf("a", [2, 3]), leaf("b", [2, 4])], 0)],
    ["Slice", () => op.slice(leaf("a", [2, 3]), 1, 2, 4)],
    ["Pad", () => op.padTo(leaf("a", [2, 3]), 2, 0, 4)],
    ["AlignDistances", () => op.alignDistances(leaf("a", [2, 3]))],
    ["Gather", () => op.gather(leaf("a", [2, 3]), leaf("b", [2, 4]))],
    ["PadRows", () => op.pad(leaf("a", [2, 3]), int("paddedRows", [4]), int("rowPositions", [3]))],
    ["UnpadRows", () => op.unpad(leaf("a", [2, 3]), int("paddedRows", [4]), int("rowPositions", [3]))],
    ["UnpadRows", () => op.unpad(leaf("a", [2, 3]), int("two", [2]), leaf("b", [2, 4]))],
    ["Exp", () => op.exp(graph.leaf("input", "ids", "int32", [2]))],
  ])("%s", (name, write) => {
    expect(write).toThrow(ShapeError);
    expect(write).toThrow(new RegExp(`^${name}: `));
  });
});

test("gradients are added to sums, by the op itself if it accumulates", async () => {
  const graph = new Graph();
  const trained = { table: [5, 65], weight: [2, 65], bias: [2] };
  const leaves = Object.entries(trained).map(([name, s]) => graph.leaf("trainable", name, "float32", s));
  const [table, weight, bias] = leaves as [Value, Value, Value];
  const rows = op.gather(table, graph.leaf("input", "indices", "int32", [4]));
  const loss = op.sumAll(op.tanh(op.gemm(rows, weight, { transB: true, addend: bias })));
  const sums = leaves.map(({ leaf, shape: s }) => graph.leaf("input", `sum:${leaf!.name}`, "float32", s));
  const plain = gradients(loss, leaves);
  const added = gradients(loss, leaves, sums);
  expect(liveNodes([...plain, ...added]).filter(({ op: { name } }) => name === "Add")).toHaveLength(1);

  const outputs = Object.fromEntries(
    leaves.flatMap(({ leaf }, i) => [
      [`plain:${leaf!.name}`, plain[i]!],
      [`added:${leaf!.name}`, added[i]!],
    ]),
  );
  const draw = (s: number[], from: number): Tensor<"float32"> => {
    const tensor = float32(s);
    tensor.data.forEach((_, i) => {
      tensor.data[i] = Math.sin(from + 7 * i);
    });
    return tensor;
  };
  const weights = new Map(Object.entries(trained).map(([name, s], i) => [name, draw(s, i)]));
  const compiled = await runtime.compile(outputs, weights);
  const start = Object.entries(trained).map(([name, s], i) => [name, draw(s, 10 + i)] as const);
  // In place: the input is also the output.
  const into = new Map(start.map(([name, tensor]) => [`added:${name}`, copyOf(tensor)]));
  const inputs = Object.fromEntries(start.map(([name]) => [`sum:${name}`, into.get(`added:${name}`)!]));
  const found = await compiled.run({ ...inputs, indices: int32([4], Int32Array.of(0, 2, 2, 4)) }, undefined, into);
  await compiled.release();
  for (const [name, { data }] of start) {
    expect(found[`added:${name}`]).toBe(into.get(`added:${name}`));
    const gradient = asFloat32(found[`plain:${name}`]!).data;
    asFloat32(found[`added:${name}`]!).data.forEach((value, i) => {
      expect(value, name).toBeCloseTo(data[i]! + gradient[i]!, 6);
    });
  }
});

describe("the graph", () => {
  test("computes equal expressions once and drops unused nodes", () => {
    const graph = new Graph();
    const x = graph.leaf("input", "x", "float32", ["batch", 2]);
    const used = op.add(op.exp(x), op.exp(x));
    op.tanh(used);
    expect(liveNodes([used]).map((node) => node.op.name)).toEqual(["Exp", "Add"]);
  });

  test("computes only the requested gradients", () => {
    const graph = new Graph();
    const x = graph.leaf("input", "x", "float32", ["batch", 4]);
    const frozen = graph.leaf("frozen", "w0", "float32", [4, 4]);
    const trained = graph.leaf("trainable", "w1", "float32", [4, 4]);
    const loss = op.sumAll(op.gemm(op.tanh(op.gemm(x, frozen)), trained));
    const backward = gradients(loss, [trained]);
    const products = liveNodes(backward).filter(
      (node) => node.op.name === "Gemm" && node.provenance.pass === "backward",
    );
    expect(products).toHaveLength(1);
  });

  test("a sum of products becomes a chain of accumulating products", () => {
    const graph = new Graph();
    const x = graph.leaf("trainable", "x", "float32", [2, 3]);
    const [a, b] = ["a", "b"].map((name) => graph.leaf("frozen", name, "float32", [3, 20]));
    const [dx] = gradients(op.sumAll(op.add(op.tanh(op.gemm(x, a!)), op.tanh(op.gemm(x, b!)))), [x]);
    expect(dx!.node!.op.name).toBe("Gemm");
    expect(dx!.node!.inputs[2]!.node!.op.name).toBe("Gemm");
  });

  test("joins thin products that are added into one", () => {
    const graph = new Graph();
    const leaf = (name: string, ...s: number[]): Value => graph.leaf("trainable", name, "float32", s);
    const sum = leaf("sum", 30, 20);
    const first = op.gemm(leaf("a", 30, 2), leaf("b", 20, 2), { transB: true, alpha: 3, addend: sum });
    const y = op.gemm(leaf("c", 30, 4), leaf("d", 4, 20), { addend: first, uncounted: [0, 0, 1] });
    const { node } = y;
    expect(node!.inputs.map(({ shape: s }) => s)).toEqual([[30, 6], [6, 20], sum.shape]);
    expect(node!.op.macs!(node!)).toEqual([30, 20, 5]);
    // Their gradients too, where they meet.
    const x = leaf("x", 30, 20);
    const outputs = ["e", "f", "g"].map((name) => op.tanh(op.gemm(x, leaf(name, 20, 3))));
    const [dx] = gradients(op.sumAll(outputs.reduce((total, each) => op.add(total, each))), [x]);
    expect(dx!.node!.inputs.map(({ shape: s }) => s)).toEqual([
      [30, 9],
      [9, 20],
    ]);
  });

  test("a loss that does not depend on a parameter throws an error that names it", () => {
    const graph = new Graph();
    const x = graph.leaf("trainable", "x", "float32", [2]);
    const y = graph.leaf("trainable", "y", "float32", [2]);
    expect(() => gradients(op.sumAll(x), [y])).toThrow('does not depend on "y"');
    expect(() => gradients(x, [x])).toThrow("must be a scalar");
  });
});
