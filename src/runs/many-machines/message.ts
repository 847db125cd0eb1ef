import { z } from "zod";
import { UserError } from "../../errors.ts";
import { isDeep } from "../../files/json.ts";
import { joinedBytes } from "../../graph/joined-bytes.ts";
import { elementsOf, type Tensor, type Tensors } from "../../graph/tensor.ts";

/** Maximum size of a message in bytes. A value of Redis or Valkey holds 512 MB. */
const MAX_BYTES = 500e6;

const entry = z.object({
  name: z.string(),
  dtype: z.enum(["float32", "int32"]),
  shape: z.array(z.int().nonnegative()),
});
const header = z.object({ facts: z.unknown(), tensors: z.array(entry).max(100_000) });

/** JSON and tensors that machines send to each other. */
export interface Message<Facts> {
  facts: Facts;
  tensors: Tensors<"float32" | "int32">;
}

/**
 * Encodes a message: the length of a JSON header (4 bytes, little-endian), the header, then the tensors' data in order.
 * @throws UserError if the message is larger than a server keeps in one value
 */
export function messageBytes(facts: unknown, tensors: Tensors = new Map()): Buffer {
  const entries = [...tensors].map(([name, { dtype, shape }]) => ({ name, dtype, shape }));
  const text = Buffer.from(JSON.stringify({ facts, tensors: entries }));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  const numbers = [...tensors.values()].map(
    ({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  );
  const size = [length, text, ...numbers].reduce((sum, { byteLength }) => sum + byteLength, 0);
  if (size > MAX_BYTES) {
    throw new UserError(
      `the trainable parameters are ${Math.round(size / 1e6)} MB, more than a queue's server keeps in one value (${MAX_BYTES / 1e6} MB); choose a method with fewer trainable parameters`,
    );
  }
  return Buffer.from(joinedBytes([length, text, ...numbers], size).buffer);
}

/**
 * Decodes a message. Copies its tensors.
 * @returns undefined if the bytes are not a valid message: anybody with access to the server can write there
 */
export function readMessage<Schema extends z.ZodType>(
  bytes: Buffer,
  schema: Schema,
): Message<z.output<Schema>> | undefined {
  const start = bytes.length < 4 ? Number.POSITIVE_INFINITY : 4 + bytes.readUInt32LE(0);
  if (start > bytes.length) return undefined;
  const read = header.safeParse(parsedJson(bytes.subarray(4, start).toString()));
  const facts = read.success ? schema.safeParse(read.data.facts) : undefined;
  if (!facts?.success) return undefined;
  const tensors = new Map<string, Tensor<"float32" | "int32">>();
  let end = start;
  for (const { name, dtype, shape } of read.data!.tensors) {
    const begin = end;
    end += 4 * elementsOf(shape);
    if (!(end <= bytes.length) || tensors.has(name)) return undefined;
    const numbers = Uint8Array.from(bytes.subarray(begin, end)).buffer;
    tensors.set(name, { dtype, shape, data: dtype === "int32" ? new Int32Array(numbers) : new Float32Array(numbers) });
  }
  return end === bytes.length ? { facts: facts.data, tensors } : undefined;
}

/** Parses JSON from a server. Returns undefined if the text is not JSON, or nested too deeply. */
export function parsedJson(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return isDeep(value) ? undefined : value;
  } catch {
    return undefined;
  }
}
