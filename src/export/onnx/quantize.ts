import { ELEMENT_TYPE } from "../../graph/graph.ts";
import { MODEL } from "../../graph/onnx-schema.ts";
import { decodeMessage, encodeMessage } from "../../graph/protobuf-message.ts";
import { GROUP, quantizeGroups, quantizeMatrix, sideBySide, transposeBytes } from "../../graph/quantize.ts";

/** Weights in fewer bits, in Transformers.js's names of them. */
export const ONNX_QUANTIZATIONS = ["q8", "q4"] as const;
export type OnnxQuantization = (typeof ONNX_QUANTIZATIONS)[number];

/** Which weights `[out, in]` are what, by name. */
export interface QuantizableWeights {
  /** Those of the blocks' linear layers. */
  linear: ReadonlySet<string>;
  /** Tables of words, which a language model's output layer multiplies with. */
  tables: ReadonlySet<string>;
}

/** Bound of linear layers' weights: on processors without dot products of bytes, pairs of larger ones would overflow. */
const LINEAR_BOUND = 64;

interface NodeMessage {
  name: string;
  opType: string;
  domain?: string;
  input: string[];
  output: string[];
  attribute: { name: string; i?: number; type: number }[];
}

interface TensorMessage {
  name: string;
  dims: number[];
  dataType: number;
  rawData: Uint8Array;
}

interface Message {
  graph: { node: NodeMessage[]; initializer: TensorMessage[] };
}

/**
 * The same model with weights in fewer bits; small tables stay as they are.
 *
 * `q8`: linear layers quantise their input as a whole when they run and multiply bytes; rows of tables that are looked up are scaled
 * back one by one, and a table that is multiplied with, too, stays float32. Weights are symmetric, with a scale for each output or
 * row. Every build of ONNX Runtime has what this takes.
 *
 * `q4`: linear layers in groups of 32 numbers of 4 bits, tables in groups of 32 of 8 bits, one copy for looking up and multiplying
 * (`MatMulNBits`). Inputs are not rounded.
 */
export function quantizeOnnx(
  bytes: Uint8Array,
  { linear, tables }: QuantizableWeights,
  quantization: OnnxQuantization,
): Uint8Array {
  const model = decodeMessage(MODEL, bytes) as unknown as Message;
  const { node: nodes, initializer } = model.graph;
  const weights = new Map(initializer.map((tensor) => [tensor.name, tensor]));
  const multiplied = new Set(nodes.flatMap(({ opType, input }) => (opType === "Gather" ? [] : input)));
  const written = new Rewritten();
  for (const node of nodes) {
    const [first, second] = node.input as [string, string];
    const [table, factor] = [weights.get(first), weights.get(second)];
    if (node.opType === "Gemm" && linear.has(second)) {
      (quantization === "q8" ? multiplyBytes : multiplyGroups)(written, node, factor!);
    } else if (node.opType === "Gemm" && quantization === "q4" && tables.has(second) && isLarge(factor)) {
      multiplyGroups(written, node, factor!, 8);
    } else if (node.opType === "Gather" && isLarge(table) && quantization === "q4") {
      lookUpGroups(written, node, table!);
    } else if (node.opType === "Gather" && isLarge(table) && !multiplied.has(first)) {
      lookUpBytes(written, node, table!);
    } else {
      written.nodes.push(node);
    }
  }
  const read = new Set(written.nodes.flatMap(({ input }) => input));
  model.graph.node = written.nodes;
  model.graph.initializer = [...initializer.filter(({ name }) => read.has(name)), ...written.tensors.values()];
  return encodeMessage(MODEL, model);
}

/** Small tables would gain nothing. */
const isLarge = (table: TensorMessage | undefined): boolean =>
  table?.dims.length === 2 && table.dims[0]! * table.dims[1]! >= 2 ** 16;

/** The nodes and tensors of a graph that is written anew. */
class Rewritten {
  readonly nodes: NodeMessage[] = [];
  readonly tensors = new Map<string, TensorMessage>();
  readonly #emitted = new Set<string>();

  /** Adds a node, once. @returns its first output */
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

  /** Adds the tensors that stand in place of a weight, once, named after it. @returns their names */
  store<Part extends string>(
    of: string,
    make: () => Record<Part, Omit<TensorMessage, "name">>,
    parts: readonly Part[],
  ) {
    const names = parts.map((part) => `${of}:${part}`);
    if (!this.tensors.has(names[0]!)) {
      for (const [part, tensor] of Object.entries(make()) as [Part, Omit<TensorMessage, "name">][]) {
        this.tensors.set(`${of}:${part}`, { name: `${of}:${part}`, ...tensor });
      }
    }
    return names;
  }

  /** A one-dimensional constant of whole numbers. */
  int64(...values: number[]): string {
    const name = `int64:${values.join()}:q`;
    this.tensors.set(name, { name, ...tensor("int64", [values.length], BigInt64Array.from(values, BigInt)) });
    return name;
  }
}

const tensor = (type: "int64" | "int8" | "uint8" | "float32", dims: number[], data: ArrayBufferView) => ({
  dims,
  dataType: ELEMENT_TYPE[type],
  rawData: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
});

const TO_FLOAT = { to: ELEMENT_TYPE.float32 };

/** `x Wᵀ + addend` of bytes, x rounded as a whole. */
function multiplyBytes(written: Rewritten, { input, output: [output] }: NodeMessage, weight: TensorMessage): void {
  const [x, , addend] = input as [string, string, string | undefined];
  const [values, scale] = written.store(weight.name, () => linearBytes(weight), ["int8", "scale"]) as [string, string];
  const [rounded, step, zero] = ["quantized", "step", "zero"].map((part) => `${x}:${part}`) as [string, string, string];
  written.emit("DynamicQuantizeLinear", [x], [rounded, step, zero]);
  const sums = written.emit("MatMulInteger", [rounded, values, zero], [`${output}:sums`]);
  const floats = written.emit("Cast", [sums], [`${output}:floats`], TO_FLOAT);
  const scales = written.emit("Mul", [step, scale], [`${output}:scales`]);
  const product = written.emit("Mul", [floats, scales], [addend ? `${output}:product` : output!]);
  if (addend) written.emit("Add", [product, addend], [output!]);
}

/** Rows of a table of bytes, scaled back. */
function lookUpBytes(written: Rewritten, { input, output: [output] }: NodeMessage, table: TensorMessage): void {
  const ids = input[1]!;
  const [bytes, scale] = written.store(table.name, () => tableBytes(table), ["int8", "scale"]) as [string, string];
  const rows = written.emit("Gather", [bytes, ids], [`${output}:rows`], { axis: 0 });
  const floats = written.emit("Cast", [rows], [`${output}:floats`], TO_FLOAT);
  const scales = written.emit("Gather", [scale, ids], [`${output}:scales`], { axis: 0 });
  written.emit("Mul", [floats, scales], [output!]);
}

/** `x Wᵀ + addend` of a weight in groups; x stays as it is. */
function multiplyGroups(
  written: Rewritten,
  { input, output: [output] }: NodeMessage,
  weight: TensorMessage,
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

/** Rows of a table in groups of 8 bits, scaled back. */
function lookUpGroups(written: Rewritten, { input, output: [output] }: NodeMessage, table: TensorMessage): void {
  const ids = input[1]!;
  const width = table.dims[1]!;
  const [bytes, scale] = storedGroups(written, table, 8) as [string, string];
  const name = (part: string): [string] => [`${output}:${part}`];
  const rows = written.emit("Gather", [bytes, ids], name("rows"), { axis: 0 });
  const scales = written.emit("Gather", [scale, ids], name("scales"), { axis: 0 });
  // Bytes count from 128.
  const [middle] = written.store("middle", () => ({ q: tensor("float32", [], Float32Array.of(128)) }), ["q"]);
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

/** `[out, in]` float32 as `[in, out]` int8 with a scale for each output. */
function linearBytes({ dims, rawData }: TensorMessage) {
  const [rows, width] = dims as [number, number];
  const { values, scales } = quantizeMatrix(floats(rawData), width, "rows", LINEAR_BOUND);
  return {
    int8: tensor("int8", [width, rows], transposeBytes(values, width)),
    scale: tensor("float32", [rows], scales),
  };
}

/** `[rows, width]` float32 as int8 with a scale for each row. */
function tableBytes({ dims, rawData }: TensorMessage) {
  const [rows, width] = dims as [number, number];
  const { values, scales } = quantizeMatrix(floats(rawData), width);
  return { int8: tensor("int8", [rows, width], values), scale: tensor("float32", [rows, 1], scales) };
}

/** Names of a matrix `[rows, width]` as `MatMulNBits` has it: `[rows, groups, bytes]` and the groups' scales `[rows, groups]`. */
const storedGroups = (written: Rewritten, weight: TensorMessage, bits: 4 | 8): string[] =>
  written.store(weight.name, () => groupsOf(weight, bits), [`${bits}bits`, `${bits}bits.scale`]);

/** Rows are filled with zeros to whole groups. */
function groupsOf({ dims, rawData }: TensorMessage, bits: 4 | 8): Record<string, Omit<TensorMessage, "name">> {
  const [rows, width] = dims as [number, number];
  const groups = Math.ceil(width / GROUP);
  const given = floats(rawData);
  const filled = width % GROUP === 0 ? given : new Float32Array(rows * groups * GROUP);
  if (filled !== given) {
    for (let row = 0; row < rows; row++) {
      filled.set(given.subarray(row * width, (row + 1) * width), row * groups * GROUP);
    }
  }
  const { bytes, scales } = bits === 4 ? pairsOf(filled) : bytesFromMiddle(filled);
  return {
    [`${bits}bits`]: tensor("uint8", [rows, groups, (GROUP * bits) / 8], bytes),
    [`${bits}bits.scale`]: tensor("float32", [rows, groups], scales),
  };
}

/** Numbers side by side share a byte, where ours are half a group apart. */
function pairsOf(values: Float32Array): { bytes: Uint8Array; scales: Float32Array } {
  const { packed, scales } = quantizeGroups(values);
  return { bytes: sideBySide(packed), scales };
}

/** 8 bits that count from 128. */
function bytesFromMiddle(filled: Float32Array): { bytes: Uint8Array; scales: Float32Array } {
  const { values, scales } = quantizeMatrix(filled, GROUP);
  return { bytes: Uint8Array.from(values, (value) => value + 128), scales };
}

/** The bytes may begin anywhere: they are copied to where numbers may stand. */
const floats = (bytes: Uint8Array): Float32Array => new Float32Array(new Uint8Array(bytes).buffer);
