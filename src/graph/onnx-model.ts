import { ELEMENT_TYPE } from "./graph.ts";
import { joinedBytes } from "./joined-bytes.ts";
import { GRAPH, MODEL, TENSOR } from "./onnx-schema.ts";
import { encodeMessage, messageHeader } from "./protobuf-message.ts";
import { type DataType, ELEMENT_SIZE, elementsOf } from "./tensor.ts";

const OPSET = 18;
/** Version of the operators whose QuantizeLinear takes blocks. */
const BLOCKS_OPSET = 21;
const IR_VERSION = 8;

/** Maximum number of bytes of weights in one file: protobuf messages are limited to 2 GiB, a browser's arrays to little more. */
export const LARGEST_FILE = 1.9e9;
/** Smallest tensor, in bytes, that is stored outside a graph with external data. */
const SMALL = 1024;
/** External data is aligned to memory pages, so that it can be mapped. */
const ALIGNMENT = 4096;

export interface NodeMessage {
  name: string;
  opType: string;
  domain: string;
  input: readonly string[];
  output: readonly string[];
  attribute: readonly object[];
}

export interface TensorHeader {
  name: string;
  dtype: DataType;
  dims: readonly number[];
}

/** Tensors whose elements are computed together when they are written, such as a weight's bytes and their scales. */
export interface TensorGroup {
  tensors: readonly TensorHeader[];
  make(): readonly ArrayBufferView[];
}

type ValueInfo = object;

export interface OnnxModel {
  nodes: readonly NodeMessage[];
  weights: readonly TensorGroup[];
  inputs: readonly ValueInfo[];
  outputs: readonly ValueInfo[];
  /** Other values whose shapes are given (default: none). */
  values?: readonly ValueInfo[];
}

export interface PiecedFile {
  name: string;
  size: number;
  pieces(): Iterable<Uint8Array>;
}

export function modelBytes(model: OnnxModel): Uint8Array {
  const { size, pieces } = modelFile("", model, new Map());
  return joinedBytes(pieces(), size);
}

/**
 * Serialises a model as one file, or with external data if its weights take more than `inside` bytes. The names of the
 * other files are those that Transformers.js expects (`model.onnx_data`, `model.onnx_data_1`).
 * @param path of the model's file; the names of the others begin with it
 * @param most upper limit on the size of an external file, in bytes
 */
export function onnxFiles(
  path: string,
  model: OnnxModel,
  most = LARGEST_FILE,
  inside = most,
): [model: PiecedFile, ...PiecedFile[]] {
  const all = model.weights.reduce((sum, group) => sum + bytesOf(group), 0);
  if (all <= inside) return [modelFile(path, model, new Map())];
  const places = new Map<TensorHeader, Place>();
  const files: { name: string; size: number; groups: TensorGroup[] }[] = [];
  for (const group of model.weights) {
    if (bytesOf(group) < SMALL) continue;
    const size = group.tensors.reduce((sum, tensor) => sum + aligned(byteLength(tensor)), 0);
    if (files.length === 0 || files.at(-1)!.size + size > most) {
      files.push({ name: `${path}_data${files.length === 0 ? "" : `_${files.length}`}`, size: 0, groups: [] });
    }
    const file = files.at(-1)!;
    for (const tensor of group.tensors) {
      places.set(tensor, { file: file.name.slice(path.lastIndexOf("/") + 1), offset: file.size });
      file.size += aligned(byteLength(tensor));
    }
    file.groups.push(group);
  }
  return [
    modelFile(path, model, places),
    ...files.map(({ name, size, groups }) => ({ name, size, pieces: () => filledPieces(groups) })),
  ];
}

interface Place {
  file: string;
  offset: number;
}

const byteLength = ({ dtype, dims }: TensorHeader): number => elementsOf(dims) * ELEMENT_SIZE[dtype];
const bytesOf = ({ tensors }: TensorGroup): number => tensors.reduce((sum, tensor) => sum + byteLength(tensor), 0);
const aligned = (size: number): number => Math.ceil(size / ALIGNMENT) * ALIGNMENT;

function* filledPieces(groups: readonly TensorGroup[]): Generator<Uint8Array> {
  for (const group of groups) {
    for (const bytes of numbersOf(group)) {
      yield bytes;
      yield new Uint8Array(aligned(bytes.length) - bytes.length);
    }
  }
}

function numbersOf({ tensors, make }: TensorGroup): Uint8Array[] {
  return make().map(({ buffer, byteOffset, byteLength: length }, i) => {
    const tensor = tensors[i]!;
    if (length !== byteLength(tensor)) {
      throw new Error(`tensor "${tensor.name}" has ${length} bytes, but its shape is [${tensor.dims}]`);
    }
    return new Uint8Array(buffer, byteOffset, length);
  });
}

function modelFile(
  name: string,
  { nodes, weights, inputs, outputs, values: valueInfo = [] }: OnnxModel,
  places: ReadonlyMap<TensorHeader, Place>,
): PiecedFile {
  const opsetImport = [
    { domain: "", version: nodes.some(hasBlocks) ? BLOCKS_OPSET : OPSET },
    { domain: "com.microsoft", version: 1 },
  ];
  const head = encodeMessage(MODEL, { irVersion: IR_VERSION, producerName: "aflora", opsetImport });
  const graph = encodeMessage(GRAPH, { node: nodes, name: "aflora", input: inputs, output: outputs, valueInfo });
  const initializers = weights.map((group) => ({
    group,
    starts: group.tensors.map((tensor) => initializerStart(tensor, places.get(tensor))),
  }));
  const inside = (tensor: TensorHeader): number => (places.has(tensor) ? 0 : byteLength(tensor));
  const graphSize = initializers.reduce(
    (sum, { group, starts }) => starts.reduce((size, start, i) => size + start.length + inside(group.tensors[i]!), sum),
    graph.length,
  );
  const graphStart = messageHeader(MODEL.graph, graphSize);
  return {
    name,
    size: head.length + graphStart.length + graphSize,
    *pieces() {
      yield head;
      yield graphStart;
      yield graph;
      for (const { group, starts } of initializers) {
        const numbers = group.tensors.some((tensor) => !places.has(tensor)) ? numbersOf(group) : undefined;
        for (const [i, start] of starts.entries()) {
          yield start;
          if (numbers) yield numbers[i]!;
        }
      }
    },
  };
}

const hasBlocks = ({ attribute }: NodeMessage): boolean =>
  attribute.some((each) => "name" in each && each.name === "block_size");

function initializerStart(tensor: TensorHeader, place: Place | undefined): Uint8Array {
  const { name, dims, dtype } = tensor;
  const external = place && {
    externalData: Object.entries({ location: place.file, offset: place.offset, length: byteLength(tensor) }).map(
      ([key, value]) => ({ key, value: String(value) }),
    ),
    dataLocation: EXTERNAL,
  };
  const described = encodeMessage(TENSOR, { name, dims, dataType: ELEMENT_TYPE[dtype], ...external });
  const numbers = place ? new Uint8Array() : messageHeader(TENSOR.rawData, byteLength(tensor));
  const size = described.length + numbers.length + (place ? 0 : byteLength(tensor));
  return joinedBytes([messageHeader(GRAPH.initializer, size), described, numbers]);
}

const EXTERNAL = 1;
