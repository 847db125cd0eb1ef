import protobuf from "protobufjs/minimal.js";

export interface ProtobufField {
  id: number;
  type: "int64" | "int32" | "float" | "double" | "string" | "bytes" | ProtobufSchema;
  /** Lists are written unpacked, and read in either form. */
  repeated?: true;
}

/** The fields of a message by name. The reader skips fields that are not listed. */
export interface ProtobufSchema {
  readonly [name: string]: ProtobufField;
}

const WIRE_TYPE = { int64: 0, int32: 0, double: 1, float: 5, string: 2, bytes: 2, message: 2 } as const;

/**
 * Encodes a message (https://protobuf.dev/programming-guides/encoding). It uses only the writer of protobufjs: the
 * package's own encoders are compiled from text, which a page's Content Security Policy forbids.
 */
export function encodeMessage(schema: ProtobufSchema, message: object): Uint8Array {
  const writer = protobuf.Writer.create();
  writeFields(writer, schema, message);
  return writer.finish();
}

export function messageHeader({ id }: ProtobufField, size: number): Uint8Array {
  return protobuf.Writer.create()
    .uint32((id << 3) | WIRE_TYPE.message)
    .uint32(size)
    .finish();
}

function writeFields(writer: protobuf.Writer, schema: ProtobufSchema, message: object): void {
  const values = message as Readonly<Record<string, unknown>>;
  for (const [name, { id, type, repeated }] of Object.entries(schema).sort(([, a], [, b]) => a.id - b.id)) {
    const value = values[name];
    if (value === undefined) continue;
    for (const each of repeated ? (value as readonly unknown[]) : [value]) {
      writer.uint32((id << 3) | WIRE_TYPE[typeof type === "string" ? type : "message"]);
      if (typeof type !== "string") {
        writer.fork();
        writeFields(writer, type, each as object);
        writer.ldelim();
      } else if (type === "string") writer.string(each as string);
      else if (type === "bytes") writer.bytes(each as Uint8Array);
      else writer[type](each as number);
    }
  }
}

/**
 * Decodes a message. Repeated fields are lists, empty if the message has none; other fields that it lacks are undefined. Bytes are views of
 * the input.
 * @param most limit on the messages, strings or bytes of a repeated field: an empty message of two bytes becomes an object
 * @throws Error if the bytes do not match the schema, or a field has more values.
 */
export function decodeMessage(
  schema: ProtobufSchema,
  bytes: Uint8Array,
  most = Number.POSITIVE_INFINITY,
): Record<string, unknown> {
  const fields = new Map(Object.entries(schema).map(([name, field]) => [field.id, { name, ...field }]));
  const message: Record<string, unknown> = {};
  for (const [name, { repeated }] of Object.entries(schema)) if (repeated) message[name] = [];
  const reader = protobuf.Reader.create(bytes);
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    const wireType = tag & 7;
    const field = fields.get(tag >>> 3);
    if (!field) {
      reader.skipType(wireType);
      continue;
    }
    const { name, type, repeated } = field;
    if (repeated && isPacked(type, wireType)) {
      const end = reader.uint32() + reader.pos;
      if (end > reader.len) throw new Error(`field ${tag >>> 3} ends after the message`);
      while (reader.pos < end) (message[name] as unknown[]).push(readValue(reader, type, most));
      continue;
    }
    if (wireType !== WIRE_TYPE[typeof type === "string" ? type : "message"]) {
      throw new Error(`field ${tag >>> 3} is written as no "${name}" is`);
    }
    const value = readValue(reader, type, most);
    if (!repeated) message[name] = value;
    else if ((message[name] as unknown[]).push(value) > most && typeof value !== "number")
      throw new Error(`field ${tag >>> 3} has more than ${most} values`);
  }
  return message;
}

export interface FieldHeader {
  id: number;
  length: number;
  size: number;
  value?: number;
}

export const MAX_FIELD_HEADER = 20;

/**
 * Reads the start of a field, whose content need not be in memory.
 * @param bytes from the field's first byte on: {@link MAX_FIELD_HEADER}, or as many as are left
 * @throws Error if no field begins there.
 */
export function readFieldHeader(bytes: Uint8Array): FieldHeader {
  const reader = protobuf.Reader.create(bytes);
  const tag = reader.uint32();
  const [id, wireType] = [tag >>> 3, tag & 7];
  const sizes: Record<number, number> = { [WIRE_TYPE.double]: 8, [WIRE_TYPE.float]: 4 };
  if (wireType === WIRE_TYPE.int64) {
    const value = Number(reader.uint64());
    return { id, length: reader.pos, size: 0, value };
  }
  const size = wireType === WIRE_TYPE.message ? Number(reader.uint64()) : sizes[wireType];
  if (size === undefined) throw new Error(`no field has the wire type ${wireType}`);
  return { id, length: reader.pos, size };
}

function isPacked(type: ProtobufField["type"], wireType: number): boolean {
  return wireType === WIRE_TYPE.message && typeof type === "string" && type !== "string" && type !== "bytes";
}

function readValue(reader: protobuf.Reader, type: ProtobufField["type"], most: number): unknown {
  if (typeof type !== "string") return decodeMessage(type, reader.bytes(), most);
  // 64-bit integers are objects if the package `long` is installed.
  return type === "int64" ? Number(reader.int64()) : reader[type]();
}
