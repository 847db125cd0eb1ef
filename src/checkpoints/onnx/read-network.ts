import { UserError } from "../../errors.ts";
import { type ByteSource, bytesSource } from "../../files/byte-source.ts";
import { NODE, OPERATOR_SET_ID, VALUE_INFO } from "../../graph/onnx-schema.ts";
import { decodeMessage } from "../../graph/protobuf-message.ts";
import { type FileGraph, networkOf } from "./named-values.ts";
import type { Network, NetworkPort, NetworkTensor, NodeAttribute } from "./network.ts";
import { type FieldPlace, ProtobufFile } from "./protobuf-fields.ts";
import { type OpenBeside, readNetworkTensor } from "./tensors.ts";

const MODEL_FIELD = { graph: 7, opsetImport: 8 };
const GRAPH_FIELD = { node: 1, initializer: 5, input: 11, output: 12 };

const MAX_NODES = 30_000;
const MAX_TENSORS = 100_000;
/** Upper limits on bytes of one node and of all nodes. Larger data are weights and belong to the initializers. */
const MAX_NODE = 2 ** 26;
const MAX_NODE_BYTES = 2 ** 28;
/** Upper limit on inputs, outputs or attributes of a node, and on axes of an input. */
const MAX_PARTS = 10_000;
const MAX_DEPTH = 32;
const OPSETS = { least: 9, most: 24 };

/**
 * Reads the computation of an ONNX file: its graph now, weights when they are requested.
 * @param open opens external data files
 * @throws UserError if it is not an ONNX file, damaged, or larger than the limits.
 */
export async function readNetwork(source: ByteSource, open: OpenBeside): Promise<Network> {
  const file = new ProtobufFile(source);
  let graph: FieldPlace | undefined;
  for await (const field of file.fields(0, source.size)) {
    if (field.id === MODEL_FIELD.graph) graph = field;
    if (field.id === MODEL_FIELD.opsetImport) requireOpset(file, await file.bytes(field.start, field.end));
  }
  if (!graph) return file.damaged("it has no graph");
  return networkOf(
    source.location,
    await readGraph(file, graph, { open, nodes: 0, tensors: 0, ports: 0, nodeBytes: 0, depth: 0 }),
  );
}

/** State of reading, with counts over all graphs, nested ones included. */
interface Reading {
  readonly open: OpenBeside;
  nodes: number;
  tensors: number;
  ports: number;
  nodeBytes: number;
  depth: number;
}

async function readGraph(
  file: ProtobufFile,
  { start, end }: Pick<FieldPlace, "start" | "end">,
  reading: Reading,
): Promise<FileGraph> {
  const graph: FileGraph = { nodes: [], tensors: new Map(), inputs: [], outputs: [] };
  for await (const field of file.fields(start, end)) {
    const size = field.end - field.start;
    const content = (): Promise<Uint8Array> => file.bytes(field.start, field.end);
    if (field.id === GRAPH_FIELD.initializer) {
      const { name, ...tensor } = await readNetworkTensor(file, field, reading.open);
      graph.tensors.set(name, tensor);
      reading.tensors++;
    } else if (field.id === GRAPH_FIELD.node) {
      reading.nodeBytes += size;
      if (size > MAX_NODE || reading.nodeBytes > MAX_NODE_BYTES)
        file.damaged(`its nodes take more than ${reading.nodeBytes} bytes`);
      await addNode(file, await content(), graph, reading);
    } else if (field.id === GRAPH_FIELD.input || field.id === GRAPH_FIELD.output) {
      reading.ports++;
      graph[field.id === GRAPH_FIELD.input ? "inputs" : "outputs"].push(port(await content()));
    }
    if (reading.nodes > MAX_NODES) file.damaged(`it has more than ${MAX_NODES} nodes`);
    if (reading.ports > MAX_NODES) file.damaged(`it has more than ${MAX_NODES} inputs and outputs`);
    if (reading.tensors > MAX_TENSORS) file.damaged(`it has more than ${MAX_TENSORS} tensors`);
  }
  return graph;
}

/** @throws UserError if the version of ONNX's own operator set is not supported. */
function requireOpset({ source }: ProtobufFile, bytes: Uint8Array): void {
  const { domain = "", version = 0 } = decodeMessage(OPERATOR_SET_ID, bytes) as { domain?: string; version?: number };
  if ((domain !== "" && domain !== "ai.onnx") || (version >= OPSETS.least && version <= OPSETS.most)) return;
  throw new UserError(
    `${source.location} is of ONNX's operator set ${version}; sets ${OPSETS.least} to ${OPSETS.most} can be read: export it again`,
  );
}

interface NodeMessage {
  input: string[];
  output: string[];
  name?: string;
  opType?: string;
  domain?: string;
  attribute: AttributeMessage[];
  metadata: { key?: string; value?: string }[];
}

interface AttributeMessage {
  name?: string;
  type?: number;
  f?: number;
  i?: number;
  s?: Uint8Array;
  t?: Uint8Array;
  g?: Uint8Array;
  floats: number[];
  ints: number[];
  strings: string[];
}

async function addNode(
  file: ProtobufFile,
  bytes: Uint8Array,
  { nodes, tensors }: FileGraph,
  reading: Reading,
): Promise<void> {
  let message: NodeMessage;
  try {
    message = decodeMessage(NODE, bytes, MAX_PARTS) as unknown as NodeMessage;
  } catch (error) {
    return file.damaged(`node ${nodes.length} cannot be read: ${(error as Error).message}`);
  }
  const { input, output, opType = "", domain = "", attribute } = message;
  const name = message.name || output[0] || `${opType} ${nodes.length}`;
  const attributes: Record<string, NodeAttribute> = Object.create(null);
  const graphs = new Map<string, FileGraph>();
  for (const each of attribute) {
    const key = each.name ?? "";
    if (each.t) {
      const tensor = await attributeTensor(file, each.t, reading.open);
      if (opType === "Constant") tensors.set(output[0] ?? "", tensor);
      else attributes[key] = tensor.values ?? [];
      attributes[`${key}:type`] = tensor.dtype;
    } else if (each.g) graphs.set(key, await attributeGraph(file, each.g, reading));
    else attributes[key] = plainAttribute(each);
  }
  const isOwn = domain === "" || domain === "ai.onnx";
  if (isOwn && opType === "Constant") {
    if (!tensors.has(output[0] ?? "")) tensors.set(output[0] ?? "", listedTensor(attributes));
    reading.tensors++;
    return;
  }
  reading.nodes++;
  const op = isOwn ? opType : `${domain}.${opType}`;
  nodes.push({ op, name, inputs: input, outputs: output, attributes, module: moduleOf(message), graphs });
}

/** Returns a node's module. PyTorch's exporter lists its modules, the outermost first, then its own name. */
function moduleOf({ metadata }: NodeMessage): string | undefined {
  const { value = "" } = metadata.find(({ key }) => key === "pkg.torch.onnx.name_scopes") ?? {};
  return [...value.matchAll(/'([\w.]*)'/g)].at(-2)?.[1] || undefined;
}

async function attributeTensor(file: ProtobufFile, bytes: Uint8Array, open: OpenBeside): Promise<NetworkTensor> {
  const own = new ProtobufFile(bytesSource(file.source.location, bytes));
  const { name: _, ...tensor } = await readNetworkTensor(own, { start: 0, end: bytes.length }, open);
  return tensor;
}

/** @throws UserError if graphs are nested too deeply. */
async function attributeGraph(file: ProtobufFile, bytes: Uint8Array, reading: Reading): Promise<FileGraph> {
  if (reading.depth === MAX_DEPTH) file.damaged(`its nodes hold graphs nested more than ${MAX_DEPTH} deep`);
  reading.depth++;
  const own = new ProtobufFile(bytesSource(file.source.location, bytes));
  const graph = await readGraph(own, { start: 0, end: bytes.length }, reading);
  reading.depth--;
  return graph;
}

/** Returns an attribute's value. A list of strings is joined by commas. */
function plainAttribute({ type, f = 0, i = 0, s, floats, ints, strings }: AttributeMessage): NodeAttribute {
  if (type === 1) return f;
  if (type === 2) return i;
  if (type === 3) return new TextDecoder().decode(s);
  if (type === 8) return strings.join();
  return type === 6 ? floats : ints;
}

function listedTensor(attributes: Readonly<Record<string, NodeAttribute>>): NetworkTensor {
  const [key = "", value = []] = Object.entries(attributes)[0] ?? [];
  const values = typeof value === "object" ? value : [Number(value)];
  const shape = typeof value === "object" ? [values.length] : [];
  const dtype = key.includes("float") ? "F32" : "I64";
  const known = dtype === "I64" || values.length === 1;
  return {
    dtype,
    shape,
    values: known ? values : undefined,
    read: async () => ({ dtype: "float32", shape, data: Float32Array.from(values) }),
  };
}

function port(bytes: Uint8Array): NetworkPort {
  const info = decodeMessage(VALUE_INFO, bytes, MAX_PARTS) as {
    name?: string;
    type?: { tensorType?: { shape?: { dim: { dimValue?: number; dimParam?: string }[] } } };
  };
  const dims = info.type?.tensorType?.shape?.dim;
  return { name: info.name ?? "", shape: dims?.map(({ dimValue, dimParam = "" }) => dimValue ?? dimParam) };
}
