import { ELEMENT_TYPE } from "./graph.ts";
import { joinedBytes } from "./joined-bytes.ts";
import { GRAPH, MODEL, TENSOR } from "./onnx-schema.ts";
import { encodeMessage, messageHeader } from "./protobuf-message.ts";
import { type DataType, ELEMENT_SIZE, sizeOf } from "./tensor.ts";

const OPSET = 18;
const IR_VERSION = 8;

/** Bytes of weights that stand in one file: a protobuf message has at most 2 GiB, and a page's array little more. */
export const LARGEST_FILE = 1.9e9;
/** Bytes from which a tensor stands beside a graph that has files beside it. */
const SMALL = 1024;
/** What begins beside a graph begins at a page of memory, so that it can be mapped. */
const ALIGNMENT = 4096;

export interface NodeMessage {
  name: string;
  opType: string;
  domain: string;
  input: readonly string[];
  output: readonly string[];
  attribute: readonly object[];
}

/** A tensor of a model, without its numbers. */
export interface TensorHeader {
  name: string;
  dtype: DataType;
  dims: readonly number[];
}

/** Tensors whose numbers are made together when they are written, such as a weight's bytes and their scales. */
export interface TensorGroup {
  tensors: readonly TensorHeader[];
  make(): readonly ArrayBufferView[];
}

/** What a file says of an input or an output. */
type ValueInfo = object;

/** An ONNX model whose weights are not yet bytes. */
export interface OnnxModel {
  nodes: readonly NodeMessage[];
  weights: readonly TensorGroup[];
  inputs: readonly ValueInfo[];
  outputs: readonly ValueInfo[];
}

/** A file's bytes, from the first to the last, in pieces that are made as they are asked for. */
export interface PiecedFile {
  name: string;
  size: number;
  pieces(): Iterable<Uint8Array>;
}

/** A model as the bytes of one ModelProto. */
export function modelBytes(model: OnnxModel): Uint8Array {
  const { size, pieces } = modelFile("", model, new Map());
  return joinedBytes(pieces(), size);
}

/**
 * A model as a file or, where its weights take more than `inside` bytes, as one of its graph and others beside it with the weights, in
 * the names that Transformers.js looks for (`model.onnx_data`, `model.onnx_data_1`; ONNX's external data).
 * @param path of the model's file; those beside it are named after it
 * @param most bytes of one of those
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

/** Where a tensor's numbers stand that are not in its model's file. */
interface Place {
  file: string;
  offset: number;
}

const byteLength = ({ dtype, dims }: TensorHeader): number => sizeOf(dims) * ELEMENT_SIZE[dtype];
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

/** @throws Error where they are not as many as the tensors' shapes say. */
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
  { nodes, weights, inputs, outputs }: OnnxModel,
  places: ReadonlyMap<TensorHeader, Place>,
): PiecedFile {
  const opsetImport = [
    { domain: "", version: OPSET },
    { domain: "com.microsoft", version: 1 },
  ];
  const head = encodeMessage(MODEL, { irVersion: IR_VERSION, producerName: "aflora", opsetImport });
  const graph = encodeMessage(GRAPH, { node: nodes, name: "aflora", input: inputs, output: outputs });
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

/** An initializer up to its numbers, or all of it where those stand elsewhere. */
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

/** ONNX's code of a tensor whose numbers are in another file. */
const EXTERNAL = 1;
