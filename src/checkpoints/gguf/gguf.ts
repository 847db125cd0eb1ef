import { UserError } from "../../errors.ts";
import { type ByteSource, readTensor, readTensorNow } from "../../files/byte-source.ts";
import { float32, type Tensor } from "../../graph/tensor.ts";
import type { TensorSource } from "../tensor-source.ts";
import { hasNumberBlocks, numberBlocks } from "./ggml-blocks.ts";
import { GGML_TYPES } from "./ggml-types.ts";
import { type GgufEntry, type GgufHeader, readGgufHeader } from "./header.ts";

/** A GGUF file: its metadata, and its tensors under llama.cpp's names. */
export interface Gguf
  extends Pick<TensorSource, "location" | "read" | "readNow">,
    Required<Pick<TensorSource, "readBlocks">>,
    GgufHeader {}

/**
 * Opens a GGUF file, the format of llama.cpp and Ollama. Reads and checks the header now, a tensor on request.
 * @throws UserError as {@link readGgufHeader}.
 */
export async function openGguf(source: ByteSource): Promise<Gguf> {
  const { location } = source;
  const { metadata, tensors } = await readGgufHeader(source);
  const entryOf = (name: string): GgufEntry => {
    const entry = tensors.get(name);
    if (!entry) throw new UserError(`${location} has no tensor "${name}"`);
    return entry;
  };
  const storedOf = (name: string): Promise<Uint8Array<ArrayBuffer>> => {
    const { begin, end } = entryOf(name);
    return readTensor(source, name, begin, end);
  };
  const decoded = (name: string, stored: Uint8Array<ArrayBuffer>): Tensor<"float32"> => {
    const { shape, dtype } = entryOf(name);
    return float32(shape, GGML_TYPES[dtype].decode(stored));
  };
  const { readNow } = source;
  const storedNow =
    readNow &&
    ((name: string, from: number, to: number): Uint8Array<ArrayBuffer> => {
      const { begin } = entryOf(name);
      return readTensorNow({ ...source, readNow }, name, begin + from, begin + to);
    });
  return {
    location,
    metadata,
    tensors,
    read: async (name) => decoded(name, await storedOf(name)),
    ...(storedNow && {
      readNow(name) {
        const { begin, end } = entryOf(name);
        return decoded(name, storedNow(name, 0, end - begin));
      },
    }),
    async readBlocks(name) {
      const { dtype, begin, end } = entryOf(name);
      if (!hasNumberBlocks(dtype)) return undefined;
      if (storedNow) return () => numberBlocks(dtype, end - begin, (from, to) => storedNow(name, from, to));
      const stored = await storedOf(name);
      return () => numberBlocks(dtype, stored.length, (from, to) => stored.subarray(from, to));
    },
  };
}
