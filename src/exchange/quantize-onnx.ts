import { ELEMENT_TYPE } from "../graph/graph.ts";
import { MODEL } from "../graph/onnx-schema.ts";
import { decodeMessage, encodeMessage } from "../graph/protobuf-message.ts";
import { quantizeMatrix, transposeBytes } from "../graph/quantize.ts";

/** Bound of linear layers' weights: on processors without dot products of bytes, pairs of larger ones would overflow. */
const LINEAR_BOUND = 64;

interface NodeMessage {
  name: string;
  opType: string;
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
 * The same model with int8 weights. Linear layers quantise their input as a whole when they run and multiply bytes; the
 * rows of tables that are looked up are scaled back one by one. Weights are symmetric, with a scale for each output or row.
 * @param linear names of the linear layers' weights to quantise
 */
export function quantizeOnnx(bytes: Uint8Array, linear: ReadonlySet<string>): Uint8Array {
  const model = decodeMessage(MODEL, bytes) as unknown as Message;
  const { graph } = model;
  const weights = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
  const nodes: NodeMessage[] = [];
  const quantized = new Map<string, TensorMessage[]>();
  const emit = (
    opType: string,
    input: string[],
    output: string[],
    attribute: NodeMessage["attribute"] = [],
  ): string => {
    nodes.push({ name: `${opType}_q${nodes.length}`, opType, input, output, attribute });
    return output[0]!;
  };
  const toFloat = [{ name: "to", i: ELEMENT_TYPE.float32, type: 2 }];
  const quantizedInputs = new Set<string>();

  for (const node of graph.node) {
    const [first, second, addend] = node.input as [string, string, string | undefined];
    const output = node.output[0]!;
    if (node.opType === "Gemm" && linear.has(second)) {
      if (!quantized.has(second)) quantized.set(second, quantizeLinear(weights.get(second)!));
      const [x, scale, zero] = ["quantized", "scale", "zero"].map((part) => `${first}:${part}`) as [
        string,
        string,
        string,
      ];
      if (!quantizedInputs.has(first)) emit("DynamicQuantizeLinear", [first], [x, scale, zero]);
      quantizedInputs.add(first);
      const sums = emit("MatMulInteger", [x, `${second}:int8`, zero], [`${output}:sums`]);
      const floats = emit("Cast", [sums], [`${output}:floats`], toFloat);
      const scales = emit("Mul", [scale, `${second}:scale`], [`${output}:scales`]);
      const product = emit("Mul", [floats, scales], [addend ? `${output}:product` : output]);
      if (addend) emit("Add", [product, addend], [output]);
    } else if (node.opType === "Gather" && weights.get(first)?.dims.length === 2 && isLarge(weights.get(first)!)) {
      if (!quantized.has(first)) quantized.set(first, quantizeTable(weights.get(first)!));
      const rows = emit("Gather", [`${first}:int8`, second], [`${output}:rows`], node.attribute);
      const floats = emit("Cast", [rows], [`${output}:floats`], toFloat);
      const scales = emit("Gather", [`${first}:scale`, second], [`${output}:scales`], node.attribute);
      emit("Mul", [floats, scales], [output]);
    } else {
      nodes.push(node);
    }
  }
  // A table that something else reads too, such as a product with word embeddings, stays beside its quantised form.
  const read = new Set(nodes.flatMap(({ input }) => input));
  graph.node = nodes;
  graph.initializer = [...graph.initializer.filter(({ name }) => read.has(name)), ...[...quantized.values()].flat()];
  return encodeMessage(MODEL, model);
}

/** Small tables would gain nothing. */
const isLarge = ({ dims: [rows, width] }: TensorMessage): boolean => rows! * width! >= 2 ** 16;

/** `[out, in]` float32 as `[in, out]` int8 with a scale for each output. */
function quantizeLinear({ name, dims, rawData }: TensorMessage): TensorMessage[] {
  const [rows, width] = dims as [number, number];
  const { values, scales } = quantizeMatrix(floats(rawData), width, "rows", LINEAR_BOUND);
  const turned = transposeBytes(values, width);
  return [
    tensor(`${name}:int8`, ELEMENT_TYPE.int8, [width, rows], turned),
    tensor(`${name}:scale`, ELEMENT_TYPE.float32, [rows], scales),
  ];
}

/** `[rows, width]` float32 as int8 with a scale for each row. */
function quantizeTable({ name, dims, rawData }: TensorMessage): TensorMessage[] {
  const [rows, width] = dims as [number, number];
  const { values, scales } = quantizeMatrix(floats(rawData), width);
  return [
    tensor(`${name}:int8`, ELEMENT_TYPE.int8, [rows, width], values),
    tensor(`${name}:scale`, ELEMENT_TYPE.float32, [rows, 1], scales),
  ];
}

function tensor(name: string, dataType: number, dims: number[], data: Int8Array | Float32Array): TensorMessage {
  return { name, dims, dataType, rawData: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) };
}

/** The bytes may begin anywhere: they are copied to where numbers may stand. */
const floats = (bytes: Uint8Array): Float32Array => new Float32Array(new Uint8Array(bytes).buffer);
