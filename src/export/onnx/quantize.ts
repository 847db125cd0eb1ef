import { ELEMENT_TYPE } from "../../graph/graph.ts";
import type { NodeMessage, OnnxModel, TensorGroup, TensorHeader } from "../../graph/onnx-model.ts";
import {
  GROUP,
  pairAdjacent,
  quantizeGroups,
  quantizeMatrix,
  toUnsigned,
  transposeBytes,
} from "../../graph/quantize.ts";
import type { DataType } from "../../graph/tensor.ts";

export const ONNX_QUANTIZATIONS = ["q8", "q4"] as const;
export type OnnxQuantization = (typeof ONNX_QUANTIZATIONS)[number];

export interface QuantizableWeights {
  linear: ReadonlySet<string>;
  tables: ReadonlySet<string>;
}

/** Bound of quantized linear weights: processors without dot products of bytes would overflow with pairs of larger ones. */
const LINEAR_BOUND = 64;

/**
 * Quantizes the weights of a model. The quantized tensors are computed when they are written. Small tables stay in float32.
 *
 * `q8`: linear layers quantize their input with one scale at run time and multiply bytes; rows of looked-up tables are dequantized.
 * Weights are symmetric, with a scale for each output or row. Every build of ONNX Runtime supports these ops.
 *
 * `q4`: linear layers in groups of 32 4-bit numbers (`MatMulNBits`), tables in groups of 32 8-bit numbers. Inputs are not quantized.
 *
 * In both, a table that is also multiplied with is stored once, in groups of 8 bits.
 */
export function quantizeOnnx(
  model: OnnxModel,
  { linear, tables }: QuantizableWeights,
  quantization: OnnxQuantization,
): OnnxModel {
  const weights = new Map(model.weights.flatMap((group) => group.tensors.map(({ name }) => [name, new Weight(group)])));
  const multiplied = new Set(model.nodes.flatMap(({ opType, input }) => (opType === "Gather" ? [] : input)));
  const written = new Rewritten();
  for (const node of model.nodes) {
    const [first, second] = node.input as [string, string];
    const [table, factor] = [weights.get(first), weights.get(second)];
    if (node.opType === "Gemm" && linear.has(second)) {
      (quantization === "q8" ? multiplyBytes : multiplyGroups)(written, node, factor!);
    } else if (node.opType === "Gemm" && tables.has(second) && factor?.isLarge) {
      multiplyGroups(written, node, factor, 8);
    } else if (node.opType === "Gather" && table?.isLarge) {
      const inGroups = quantization === "q4" || multiplied.has(first);
      (inGroups ? lookUpGroups : lookUpBytes)(written, node, table);
    } else {
      written.nodes.push(node);
    }
  }
  const read = new Set(written.nodes.flatMap(({ input }) => input));
  const kept = model.weights.filter(({ tensors }) => tensors.some(({ name }) => read.has(name)));
  return { ...model, nodes: written.nodes, weights: [...kept, ...written.weights.values()] };
}

class Weight {
  constructor(private readonly group: TensorGroup) {}

  get name(): string {
    return this.group.tensors[0]!.name;
  }

  get dims(): readonly number[] {
    return this.group.tensors[0]!.dims;
  }

  get isLarge(): boolean {
    return this.dims.length === 2 && this.dims[0]! * this.dims[1]! >= 2 ** 16;
  }

  read(): Float32Array {
    return this.group.make()[0] as Float32Array;
  }
}

class Rewritten {
  readonly nodes: NodeMessage[] = [];
  readonly weights = new Map<string, TensorGroup>();
  readonly #emitted = new Set<string>();

  emit(
    opType: string,
    input: string[],
    output: string[],
    { domain = "", ...attributes }: { domain?: string; [attribute: string]: number | string } = {},
  ): string {
    const name = output[0]!;
    if (this.#emitted.has(name)) return name;
    this.#emitted.add(name);
    const attribute = Object.entries(attributes).map(([key, value]) => ({ name: key, i: value as number, type: 2 }));
    this.nodes.push({ name: `${opType}_q${this.nodes.length}`, opType, domain, input, output, attribute });
    return name;
  }

  store(tensors: readonly TensorHeader[], make: () => ArrayBufferView[]): string[] {
    const names = tensors.map(({ name }) => name);
    if (!this.weights.has(names[0]!)) this.weights.set(names[0]!, { tensors, make });
    return names;
  }

  int64(...values: number[]): string {
    const name = `int64:${values.join()}:q`;
    this.store([header(name, "int64", [values.length])], () => [BigInt64Array.from(values, BigInt)]);
    return name;
  }
}

const header = (name: string, dtype: DataType, dims: readonly number[]): TensorHeader => ({ name, dtype, dims });

const TO_FLOAT = { to: ELEMENT_TYPE.float32 };

/** `x Wᵀ + addend` in bytes; x is quantized with one scale. */
function multiplyBytes(written: Rewritten, { input, output: [output] }: NodeMessage, weight: Weight): void {
  const [x, , addend] = input as [string, string, string | undefined];
  const [values, scale] = linearBytes(written, weight);
  const [rounded, step, zero] = ["quantized", "step", "zero"].map((part) => `${x}:${part}`) as [string, string, string];
  written.emit("DynamicQuantizeLinear", [x], [rounded, step, zero]);
  const sums = written.emit("MatMulInteger", [rounded, values, zero], [`${output}:sums`]);
  const floats = written.emit("Cast", [sums], [`${output}:floats`], TO_FLOAT);
  const scales = written.emit("Mul", [step, scale], [`${output}:scales`]);
  const product = written.emit("Mul", [floats, scales], [addend ? `${output}:product` : output!]);
  if (addend) written.emit("Add", [product, addend], [output!]);
}

function lookUpBytes(written: Rewritten, { input, output: [output] }: NodeMessage, table: Weight): void {
  const ids = input[1]!;
  const [bytes, scale] = tableBytes(written, table);
  const rows = written.emit("Gather", [bytes, ids], [`${output}:rows`], { axis: 0 });
  const floats = written.emit("Cast", [rows], [`${output}:floats`], TO_FLOAT);
  const scales = written.emit("Gather", [scale, ids], [`${output}:scales`], { axis: 0 });
  written.emit("Mul", [floats, scales], [output!]);
}

/** `x Wᵀ + addend` with a weight in groups; x is not quantized. */
function multiplyGroups(
  written: Rewritten,
  { input, output: [output] }: NodeMessage,
  weight: Weight,
  bits: 4 | 8 = 4,
): void {
  const [x, , addend] = input as [string, string, string | undefined];
  const [N, K] = weight.dims as [number, number];
  const groups = storedGroups(written, weight, bits);
  const product = written.emit("MatMulNBits", [x, ...groups], [addend ? `${output}:product` : output!], {
    domain: "com.microsoft",
    ...{ K, N, bits, block_size: GROUP },
  });
  if (addend) written.emit("Add", [product, addend], [output!]);
}

function lookUpGroups(written: Rewritten, { input, output: [output] }: NodeMessage, table: Weight): void {
  const ids = input[1]!;
  const width = table.dims[1]!;
  const [bytes, scale] = storedGroups(written, table, 8);
  const name = (part: string): [string] => [`${output}:${part}`];
  const rows = written.emit("Gather", [bytes, ids], name("rows"), { axis: 0 });
  const scales = written.emit("Gather", [scale, ids], name("scales"), { axis: 0 });
  // Bytes have their zero at 128.
  const [middle] = written.store([header("middle:q", "float32", [])], () => [Float32Array.of(128)]);
  const numbers = written.emit(
    "Sub",
    [written.emit("Cast", [rows], name("floats"), TO_FLOAT), middle!],
    name("numbers"),
  );
  const factors = written.emit("Unsqueeze", [scales, written.int64(-1)], name("factors"));
  const groups = written.emit("Mul", [numbers, factors], name("groups"));
  const shape = written.emit("Concat", [written.emit("Shape", [ids], name("ids")), written.int64(-1)], name("shape"), {
    axis: 0,
  });
  const whole = written.emit("Reshape", [groups, shape], [width % GROUP === 0 ? output! : `${output}:filled`]);
  if (width % GROUP === 0) return;
  written.emit("Slice", [whole, written.int64(0), written.int64(width), written.int64(-1)], [output!]);
}

/** Names of the weight `[out, in]` as int8 `[in, out]`, and of its scales, one per output. */
function linearBytes(written: Rewritten, weight: Weight): [string, string] {
  const { name, dims } = weight;
  const [rows, width] = dims as [number, number];
  const tensors = [header(`${name}:int8`, "int8", [width, rows]), header(`${name}:scale`, "float32", [rows])];
  return written.store(tensors, () => {
    const { values, scales } = quantizeMatrix(weight.read(), width, "rows", LINEAR_BOUND);
    return [transposeBytes(values, width), scales];
  }) as [string, string];
}

/** Names of the table `[rows, width]` as int8, and of its scales, one per row. */
function tableBytes(written: Rewritten, table: Weight): [string, string] {
  const { name, dims } = table;
  const [rows, width] = dims as [number, number];
  const tensors = [header(`${name}:int8`, "int8", [rows, width]), header(`${name}:scale`, "float32", [rows, 1])];
  return written.store(tensors, () => {
    const { values, scales } = quantizeMatrix(table.read(), width);
    return [values, scales];
  }) as [string, string];
}

/** Names of a matrix `[rows, width]` in the form of `MatMulNBits`: `[rows, groups, bytes]`, and the groups' scales `[rows, groups]`. */
function storedGroups(written: Rewritten, weight: Weight, bits: 4 | 8): [string, string] {
  const [rows, width] = weight.dims as [number, number];
  const groups = Math.ceil(width / GROUP);
  const name = `${weight.name}:${bits}bits`;
  const tensors = [
    header(name, "uint8", [rows, groups, (GROUP * bits) / 8]),
    header(`${name}.scale`, "float32", [rows, groups]),
  ];
  return written.store(tensors, () => {
    const filled = filledRows(weight.read(), width);
    return bits === 4 ? pairsOf(filled) : bytesFromMiddle(filled);
  }) as [string, string];
}

function filledRows(given: Float32Array, width: number): Float32Array {
  if (width % GROUP === 0) return given;
  const [rows, wide] = [given.length / width, Math.ceil(width / GROUP) * GROUP];
  const filled = new Float32Array(rows * wide);
  for (let row = 0; row < rows; row++) filled.set(given.subarray(row * width, (row + 1) * width), row * wide);
  return filled;
}

/** Puts neighbouring numbers into one byte, where aflora's format has numbers half a group apart. */
function pairsOf(values: Float32Array): [Uint8Array, Float32Array] {
  const { packed, scales } = quantizeGroups(values);
  return [pairAdjacent(packed), scales];
}

/** 8-bit numbers with their zero at 128. */
function bytesFromMiddle(filled: Float32Array): [Uint8Array, Float32Array] {
  const { values, scales } = quantizeMatrix(filled, GROUP);
  return [toUnsigned(values), scales];
}
