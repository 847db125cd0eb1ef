import { UserError } from "../../errors.ts";
import type { NumberBlocks } from "../../graph/number-blocks.ts";
import { float32 } from "../../graph/tensor.ts";
import { type ByteSource, readTensor, readTensorNow } from "../byte-source.ts";
import type { TensorSource } from "../tensor-source.ts";
import { numberBlocks } from "./ggml-blocks.ts";
import { GGML_TYPES } from "./ggml-types.ts";
import { type GgufEntry, type GgufHeader, readGgufHeader } from "./header.ts";

/** A GGUF file: its metadata, and its tensors under llama.cpp's names. */
export interface Gguf
  extends Pick<TensorSource, "location" | "read">,
    Required<Pick<TensorSource, "readBlocks">>,
    GgufHeader {}

/**
 * Opens a GGUF file, as llama.cpp and Ollama keep models: its header is read and checked now, a tensor when asked for.
 * @throws UserError as {@link readGgufHeader}.
 */
export async function openGguf(source: ByteSource): Promise<Gguf> {
  const { location } = source;
  const { metadata, tensors } = await readGgufHeader(source);
  const storedOf = async (name: string) => {
    const entry = tensors.get(name);
    if (!entry) throw new UserError(`${location} has no tensor "${name}"`);
    return { ...entry, stored: await readTensor(source, name, entry.begin, entry.end) };
  };
  return {
    location,
    metadata,
    tensors,
    async read(name) {
      const { shape, dtype, stored } = await storedOf(name);
      return float32(shape, GGML_TYPES[dtype].decode(stored));
    },
    async readBlocks(name) {
      const { dtype, stored, begin, end } = await storedOf(name);
      const blocks = numberBlocks(dtype, stored);
      return blocks && (blocksAgain(source, name, { dtype, begin, end }) ?? (() => blocks));
    },
  };
}

/** What reads them from the source whenever it is called, where that can be. */
function blocksAgain(
  source: ByteSource,
  name: string,
  { dtype, begin, end }: Pick<GgufEntry, "dtype" | "begin" | "end">,
): (() => NumberBlocks) | undefined {
  const { readNow } = source;
  return readNow && (() => numberBlocks(dtype, readTensorNow({ ...source, readNow }, name, begin, end))!);
}
