import protobuf from "protobufjs/minimal.js";

/** A field's number, and what it holds. */
export interface ProtobufField {
  id: number;
  type: "int64" | "int32" | "float" | "string" | "bytes" | ProtobufSchema;
  /** Lists are not packed where they are written; they are read either way. */
  repeated?: true;
}

/** The fields of a message by name; those that are not named are passed over when one is read. */
export interface ProtobufSchema {
  readonly [name: string]: ProtobufField;
}

/** Ways in which a field's content follows its number. */
const WIRE_TYPE = { int64: 0, int32: 0, float: 5, string: 2, bytes: 2, message: 2 } as const;

/**
 * A message as protobuf has it (https://protobuf.dev/programming-guides/encoding). protobufjs would make a function of text for each schema,
 * which a page's policy forbids; its writer does not.
 */
export function encodeMessage(schema: ProtobufSchema, message: object): Uint8Array {
  const writer = protobuf.Writer.create();
  writeFields(writer, schema, message);
  return writer.finish();
}

/** What stands before a field's content of `size` bytes: its number, and the size. */
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
 * Reads a message: repeated fields are lists, also where there is nothing in them, others absent where the message does not have them. Bytes are
 * views of those given.
 * @param most messages, strings or bytes that a field has: two bytes of an empty message become an object
 * @throws Error where the bytes are no such message, or a field has more values.
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

/** Whether a list of numbers stands side by side in one field. */
function isPacked(type: ProtobufField["type"], wireType: number): boolean {
  return wireType === WIRE_TYPE.message && (type === "int64" || type === "int32" || type === "float");
}

function readValue(reader: protobuf.Reader, type: ProtobufField["type"], most: number): unknown {
  if (typeof type !== "string") return decodeMessage(type, reader.bytes(), most);
  // Whole numbers of 64 bits are objects where the package of such numbers is there.
  return type === "int64" ? Number(reader.int64()) : reader[type]();
}
