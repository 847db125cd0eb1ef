import { joinedBytes } from "../../graph/joined-bytes.ts";
import type { Tensors } from "../../graph/tensor.ts";
import { DEFAULT_ALIGNMENT, GGUF_MAGIC } from "./header.ts";

/** Metadata to write: texts, and numbers, which become float32. */
export type MetadataToWrite = Readonly<Record<string, string | number>>;

/** Codes of the format (ggml's docs/gguf.md): its version, and the types float32, text and F32 tensor. */
const [VERSION, FLOAT32, TEXT, F32] = [3, 6, 8, 0];

/** Serialises float32 tensors as a GGUF file. */
export function ggufBytes(metadata: MetadataToWrite, tensors: Tensors<"float32">): Uint8Array<ArrayBuffer> {
  const header: Uint8Array[] = [encoder.encode(GGUF_MAGIC), uint32(VERSION)];
  header.push(uint64(tensors.size), uint64(Object.keys(metadata).length));
  for (const [key, value] of Object.entries(metadata)) {
    header.push(...text(key));
    if (typeof value === "string") header.push(uint32(TEXT), ...text(value));
    else header.push(uint32(FLOAT32), new Uint8Array(Float32Array.of(value).buffer));
  }
  const data: Uint8Array[] = [];
  let begin = 0;
  for (const [name, { shape, data: values }] of tensors) {
    header.push(...text(name), uint32(shape.length), ...shape.toReversed().map(uint64), uint32(F32), uint64(begin));
    data.push(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), padding(values.byteLength));
    begin += aligned(values.byteLength);
  }
  header.push(padding(header.reduce((sum, { length }) => sum + length, 0)));
  return joinedBytes([...header, ...data]);
}

const encoder = new TextEncoder();

const uint32 = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer);
const uint64 = (value: number): Uint8Array => new Uint8Array(BigUint64Array.of(BigInt(value)).buffer);

function text(value: string): Uint8Array[] {
  const bytes = encoder.encode(value);
  return [uint64(bytes.length), bytes];
}

const aligned = (bytes: number): number => Math.ceil(bytes / DEFAULT_ALIGNMENT) * DEFAULT_ALIGNMENT;
const padding = (bytes: number): Uint8Array => new Uint8Array(aligned(bytes) - bytes);
