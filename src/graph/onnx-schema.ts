import type { ProtobufSchema } from "./protobuf-message.ts";

export const OPERATOR_SET_ID = {
  domain: { type: "string", id: 1 },
  version: { type: "int64", id: 2 },
} satisfies ProtobufSchema;

export const ENTRY = { key: { type: "string", id: 1 }, value: { type: "string", id: 2 } } satisfies ProtobufSchema;

export const TENSOR = {
  dims: { repeated: true, type: "int64", id: 1 },
  dataType: { type: "int32", id: 2 },
  name: { type: "string", id: 8 },
  rawData: { type: "bytes", id: 9 },
  externalData: { repeated: true, type: ENTRY, id: 13 },
  dataLocation: { type: "int32", id: 14 },
} satisfies ProtobufSchema;

const ATTRIBUTE = {
  name: { type: "string", id: 1 },
  f: { type: "float", id: 2 },
  i: { type: "int64", id: 3 },
  s: { type: "bytes", id: 4 },
  t: { type: "bytes", id: 5 },
  g: { type: "bytes", id: 6 },
  floats: { repeated: true, type: "float", id: 7 },
  ints: { repeated: true, type: "int64", id: 8 },
  strings: { repeated: true, type: "string", id: 9 },
  type: { type: "int32", id: 20 },
} satisfies ProtobufSchema;

export const NODE = {
  input: { repeated: true, type: "string", id: 1 },
  output: { repeated: true, type: "string", id: 2 },
  name: { type: "string", id: 3 },
  opType: { type: "string", id: 4 },
  attribute: { repeated: true, type: ATTRIBUTE, id: 5 },
  domain: { type: "string", id: 7 },
  metadata: { repeated: true, type: ENTRY, id: 9 },
} satisfies ProtobufSchema;

const DIMENSION = { dimValue: { type: "int64", id: 1 }, dimParam: { type: "string", id: 2 } } satisfies ProtobufSchema;
const TENSOR_SHAPE = { dim: { repeated: true, type: DIMENSION, id: 1 } } satisfies ProtobufSchema;
const TENSOR_TYPE = {
  elemType: { type: "int32", id: 1 },
  shape: { type: TENSOR_SHAPE, id: 2 },
} satisfies ProtobufSchema;
const TYPE = { tensorType: { type: TENSOR_TYPE, id: 1 } } satisfies ProtobufSchema;
export const VALUE_INFO = { name: { type: "string", id: 1 }, type: { type: TYPE, id: 2 } } satisfies ProtobufSchema;

export const GRAPH = {
  node: { repeated: true, type: NODE, id: 1 },
  name: { type: "string", id: 2 },
  initializer: { repeated: true, type: TENSOR, id: 5 },
  input: { repeated: true, type: VALUE_INFO, id: 11 },
  output: { repeated: true, type: VALUE_INFO, id: 12 },
  valueInfo: { repeated: true, type: VALUE_INFO, id: 13 },
} satisfies ProtobufSchema;

/** The part of ONNX's protobuf schema that aflora writes and reads (onnx.proto, IR version 8). */
export const MODEL = {
  irVersion: { type: "int64", id: 1 },
  producerName: { type: "string", id: 2 },
  graph: { type: GRAPH, id: 7 },
  opsetImport: { repeated: true, type: OPERATOR_SET_ID, id: 8 },
} satisfies ProtobufSchema;
