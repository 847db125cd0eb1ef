import type { z } from "zod";
import { safetensorsBytes, storedTensors } from "../../checkpoints/safetensors.ts";
import { UserError } from "../../errors.ts";
import { isDeep } from "../../files/json.ts";
import type { Tensor } from "../../graph/tensor.ts";

/** A value of Redis or Valkey holds 536 million bytes. */
const MAX_BYTES = 530e6;
/** Key of the facts in the metadata of the safetensors file. */
const FACTS = "aflora";

type MessageTensor = Tensor<"float32" | "int32" | "uint8">;

/** JSON and tensors that machines send to each other. */
export interface Message<Facts> {
  facts: Facts;
  tensors: Map<string, MessageTensor>;
}

/**
 * Encodes a message: a safetensors file with the facts as JSON in its metadata. Arrays of numbers become lists.
 * @param what begins the error about its size
 * @throws UserError if the message is larger than a server keeps in one value
 */
export function messageBytes(
  facts: object,
  tensors: ReadonlyMap<string, Tensor> = new Map(),
  what = "the trainable parameters are",
): Buffer {
  const text = JSON.stringify(facts, (_, value) => (ArrayBuffer.isView(value) ? [...(value as Int32Array)] : value));
  const { buffer, length } = safetensorsBytes(tensors as ReadonlyMap<string, MessageTensor>, { [FACTS]: text });
  if (length <= MAX_BYTES) return Buffer.from(buffer);
  throw new UserError(
    `${what} ${Math.round(length / 1e6)} MB, more than a queue's server keeps in one value (${MAX_BYTES / 1e6} MB); choose a method with fewer trainable parameters`,
  );
}

/**
 * Decodes a message. Copies its numbers; bytes stay views.
 * @returns undefined if the bytes are not a valid message: anybody with access to the server can write there
 */
export function readMessage<Schema extends z.ZodType>(
  bytes: Buffer,
  schema: Schema,
): Message<z.output<Schema>> | undefined {
  let stored: ReturnType<typeof storedTensors>;
  try {
    stored = storedTensors("", bytes);
  } catch {
    return undefined;
  }
  const facts = schema.safeParse(parsedJson(stored.metadata[FACTS] ?? ""));
  if (!facts.success) return undefined;
  const tensors = new Map<string, MessageTensor>();
  for (const { name, dtype, shape, bytes } of stored.tensors) {
    if (dtype === "U8") tensors.set(name, { dtype: "uint8", shape, data: bytes });
    else if (dtype === "F32") tensors.set(name, { dtype: "float32", shape, data: new Float32Array(copyOf(bytes)) });
    else if (dtype === "I32") tensors.set(name, { dtype: "int32", shape, data: new Int32Array(copyOf(bytes)) });
    else return undefined;
  }
  return { facts: facts.data, tensors };
}

/** Numbers must be aligned, and a server's answer begins anywhere. */
const copyOf = (bytes: Uint8Array): ArrayBuffer => Uint8Array.from(bytes).buffer;

/** Parses JSON from a server. Returns undefined if the text is not JSON, or nested too deeply. */
export function parsedJson(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return isDeep(value) ? undefined : value;
  } catch {
    return undefined;
  }
}
