import { UserError } from "../../errors.ts";
import { type ByteSource, readTensor } from "../../files/byte-source.ts";
import { ENTRY } from "../../graph/onnx-schema.ts";
import { decodeMessage } from "../../graph/protobuf-message.ts";
import { elementsOf, float32 } from "../../graph/tensor.ts";
import { decodeStored, ELEMENT_BYTES, type StoredType } from "../stored-values.ts";
import type { NetworkTensor } from "./network.ts";
import type { FieldPlace, ProtobufFile } from "./protobuf-fields.ts";

const STORED_TYPES: Readonly<Record<number, StoredType>> = {
  1: "F32",
  2: "U8",
  3: "I8",
  6: "I32",
  7: "I64",
  9: "BOOL",
  10: "F16",
  11: "F64",
  16: "BF16",
};

const FLOATS: ReadonlySet<StoredType> = new Set(["F32", "F16", "F64", "BF16"]);
/** Largest list of integers whose values are read with the graph. */
const KNOWN = 8192;
const MAX_RANK = 8;
/** Upper limit on the elements that a message may list one by one. */
const MAX_LISTED = 2 ** 20;

/** Opens an external data file by its relative path. */
export type OpenBeside = (name: string) => Promise<ByteSource | undefined>;

interface TensorMessage {
  name: string;
  dims: number[];
  type: number;
  /** Position of contiguous elements. */
  numbers?: FieldPlace;
  /** Elements listed one by one, or packed. */
  listed: number[];
  external: Map<string, string>;
}

const FIELD = { dims: 1, type: 2, floatData: 4, int32Data: 5, int64Data: 7, name: 8, rawData: 9, external: 13 };

/**
 * Reads the tensor's message at `place`. Elements are read now only for single numbers and short lists.
 * @throws UserError if it is damaged, of a type that is not supported, or outside of the model's folder.
 */
export async function readNetworkTensor(
  file: ProtobufFile,
  place: Pick<FieldPlace, "start" | "end">,
  open: OpenBeside,
): Promise<NetworkTensor & { name: string }> {
  const message = await tensorMessage(file, place);
  const { name, dims: shape, listed } = message;
  const { location } = file.source;
  const dtype = STORED_TYPES[message.type];
  if (!dtype) {
    throw new UserError(
      `${location}: tensor "${name}" has numbers of ONNX's type ${message.type}, which cannot be read; export the model in float32`,
    );
  }
  const size = elementsOf(shape);
  if (shape.length > MAX_RANK || !Number.isSafeInteger(size)) {
    file.damaged(`tensor "${name}" has the shape [${shape.slice(0, MAX_RANK + 1).join(", ")}]`);
  }
  const type = { name, dtype, shape };
  if (listed.length > 0) {
    if (listed.length !== size) file.damaged(`tensor "${name}" has ${listed.length} numbers of ${size}`);
    // Halves are listed by their bits.
    const isHalf = ELEMENT_BYTES[dtype] === 2;
    const numbers = isHalf ? Array.from(decodeStored(dtype, Uint16Array.from(listed).buffer)) : listed;
    const values = isKnown(dtype, size) ? numbers : undefined;
    return { ...type, values, read: async () => float32(shape, Float32Array.from(numbers)) };
  }
  const stored = message.external.size > 0 ? await outside(message, location, open) : inside(file, message);
  const bytes = size * ELEMENT_BYTES[dtype];
  if (stored.end - stored.start !== bytes) {
    file.damaged(`tensor "${name}" has ${stored.end - stored.start} bytes and needs ${bytes}`);
  }
  const read = async (): Promise<ReturnType<typeof float32>> => {
    const buffer = await readTensor(stored.source, name, stored.start, stored.end);
    return float32(shape, decodeStored(dtype, buffer.buffer));
  };
  return { ...type, values: isKnown(dtype, size) ? await numbersAt(dtype, stored) : undefined, read };
}

async function tensorMessage(
  file: ProtobufFile,
  { start, end }: Pick<FieldPlace, "start" | "end">,
): Promise<TensorMessage> {
  const message: TensorMessage = { name: "", dims: [], type: 0, listed: [], external: new Map() };
  const content = ({ start, end }: FieldPlace): Promise<Uint8Array> => file.bytes(start, end);
  for await (const field of file.fields(start, end)) {
    if (field.id === FIELD.type) message.type = field.value ?? 0;
    else if (field.id === FIELD.name) message.name = new TextDecoder().decode(await content(field));
    else if (field.id === FIELD.dims) message.dims.push(...(await numbersOf(file, field)));
    else if (field.id === FIELD.rawData || field.id === FIELD.floatData) message.numbers = field;
    else if (field.id === FIELD.int32Data || field.id === FIELD.int64Data) {
      for (const number of await numbersOf(file, field)) message.listed.push(number);
    } else if (field.id === FIELD.external) {
      const { key = "", value = "" } = decodeMessage(ENTRY, await content(field)) as { key?: string; value?: string };
      message.external.set(key, value);
    }
    if (message.dims.length > MAX_RANK) file.damaged(`tensor "${message.name}" has more than ${MAX_RANK} sizes`);
    if (message.listed.length > MAX_LISTED) file.damaged(`tensor "${message.name}" lists its numbers one by one`);
  }
  return message;
}

/** Returns the integers of a field, which is one number or a packed list. */
async function numbersOf(file: ProtobufFile, field: FieldPlace): Promise<number[]> {
  if (field.value !== undefined) return [field.value];
  if (field.end - field.start > MAX_LISTED) file.damaged(`the list at byte ${field.start} has no place in a tensor`);
  const { list } = decodeMessage(
    { list: { id: 1, type: "int64", repeated: true } },
    packedField(await file.bytes(field.start, field.end)),
  );
  return list as number[];
}

function packedField(content: Uint8Array): Uint8Array {
  const header = [10];
  let size = content.length;
  for (; size >= 128; size = Math.floor(size / 128)) header.push((size % 128) + 128);
  const bytes = new Uint8Array(header.length + 1 + content.length);
  bytes.set([...header, size]);
  bytes.set(content, header.length + 1);
  return bytes;
}

interface NumbersPlace {
  source: ByteSource;
  start: number;
  end: number;
}

function inside({ source }: ProtobufFile, { numbers }: TensorMessage): NumbersPlace {
  return { source, start: numbers?.start ?? 0, end: numbers?.end ?? 0 };
}

/** @throws UserError if the path leads out of the model's folder, or the file is missing or too short. */
async function outside({ name, external }: TensorMessage, location: string, open: OpenBeside): Promise<NumbersPlace> {
  const path = external.get("location") ?? "";
  const parts = path.split("/").filter((part) => part !== ".");
  if (path === "" || parts.some((part) => part === "" || part === ".." || /[\\:\0]/.test(part))) {
    throw new UserError(`${location}: tensor "${name}" is in "${path}", outside of the model's folder; refused`);
  }
  const source = await open(parts.join("/"));
  if (!source) throw new UserError(`${location} stores tensor "${name}" in ${path}, which does not exist`);
  const start = Number(external.get("offset") ?? 0);
  const length = Number(external.get("length") ?? source.size - start);
  if (
    !Number.isSafeInteger(start) ||
    start < 0 ||
    !Number.isSafeInteger(length) ||
    length < 0 ||
    start + length > source.size
  ) {
    throw new UserError(
      `${location} says that tensor "${name}" has ${length} bytes from byte ${start} on in ${path}, which has ${source.size}; get both files again`,
    );
  }
  return { source, start, end: start + length };
}

/** Whether a tensor's values are read with the graph; of floats only a single one. */
const isKnown = (dtype: StoredType, size: number): boolean => size <= (FLOATS.has(dtype) ? 1 : KNOWN);

async function numbersAt(dtype: StoredType, { source, start, end }: NumbersPlace): Promise<number[]> {
  const { buffer } = await source.read(start, end);
  // float32 would round large integers.
  if (dtype === "I64") return Array.from(new BigInt64Array(buffer), Number);
  if (dtype === "I32") return [...new Int32Array(buffer)];
  if (dtype === "F64") return [...new Float64Array(buffer)];
  return [...decodeStored(dtype, buffer)];
}
