import { UserError } from "../../errors.ts";
import { type ByteSource, bytesSource } from "../../files/byte-source.ts";
import { float32, type Tensor, transposed } from "../../graph/tensor.ts";
import type { ModelFiles } from "../model-files.ts";
import type { TensorSource } from "../tensor-source.ts";
import {
  architectureOf,
  configOf,
  type GgufArchitecture,
  headsInPairs,
  huggingFaceModule,
  reorderPairs,
  reorderRows,
} from "./architectures.ts";
import { type Gguf, openGguf } from "./gguf.ts";
import { tokenizerOf } from "./tokenizer.ts";

const WEIGHTS = "model.gguf";

/**
 * Presents a GGUF file as the Hugging Face model folder that it was made from: configuration and tokenizer come from
 * its metadata, tensors have Hugging Face's names and order.
 * @throws UserError if it is damaged, or not a supported model.
 * @example
 * ```ts
 * const model = await ggufFiles(blobSource(file.name, file));
 * ```
 */
export async function ggufFiles(source: ByteSource): Promise<ModelFiles> {
  const { location } = source;
  const file = await openGguf(source);
  refusePart(file);
  const config = await configOf(file);
  const makers: Record<string, () => unknown> = {
    "config.json": () => config,
    "tokenizer.json": () => tokenizerOf(file).json(),
    "tokenizer_config.json": () => tokenizerOf(file).settings,
    "generation_config.json": () => ({ eos_token_id: endTokens(file) }),
  };
  const made = (name: string): unknown => (Object.hasOwn(makers, name) ? makers[name]!() : undefined);
  return {
    location,
    formats: [{ file: WEIGHTS, open: async () => huggingFaceTensors(file, config) }],
    made,
    async open(name) {
      if (name === WEIGHTS) return source;
      const value = made(name);
      if (value === undefined) return undefined;
      return bytesSource(`${location}: ${name}`, new TextEncoder().encode(JSON.stringify(value)));
    },
  };
}

/** @throws UserError if the file is one of several parts of a model. */
function refusePart({ location, metadata }: Gguf): void {
  const [parts, before] = ["count", "no"].map((key) => Number(metadata.get(`split.${key}`) ?? 0)) as [number, number];
  if (parts <= 1) return;
  throw new UserError(
    `${location} is part ${before + 1} of ${parts} of a model; join them first: llama-gguf-split --merge FIRST-PART.gguf WHOLE.gguf`,
  );
}

/** Ids of tokens that end an answer: of a text and, if different, of a turn. */
function endTokens({ metadata }: Gguf): number[] {
  const ids = ["eos", "eot"].map((name) => metadata.get(`tokenizer.ggml.${name}_token_id`));
  return [...new Set(ids.filter((id) => typeof id === "number"))];
}

/** Returns the tensors under their Hugging Face names. A tensor without one keeps GGUF's. */
function huggingFaceTensors(file: Gguf, config: Record<string, unknown>): TensorSource {
  const architecture = architectureOf(file);
  const own = new Map([...file.tensors.keys()].map((name) => [publicName(architecture, name), name]));
  own.delete("rope_freqs.weight");
  const tensors = [...own].map(([name, stored]) => {
    const { dtype, shape } = file.tensors.get(stored)!;
    return [name, { dtype, shape: isTransposed(architecture, stored) ? shape.toReversed() : shape }] as const;
  });
  const storedName = (name: string): string => {
    const stored = own.get(name);
    if (stored === undefined) throw new UserError(`${file.location} has no tensor "${name}"`);
    return stored;
  };
  const converted = (stored: string, tensor: Tensor<"float32">): Tensor<"float32"> =>
    asInHuggingFace(architecture, config, stored, tensor);
  const { readNow } = file;
  return {
    location: file.location,
    tensors: new Map(tensors),
    async read(name) {
      const stored = storedName(name);
      return converted(stored, await file.read(stored));
    },
    ...(readNow && {
      readNow(name) {
        const stored = storedName(name);
        return converted(stored, readNow(stored));
      },
    }),
    async readBlocks(name) {
      const stored = storedName(name);
      if (isTransposed(architecture, stored)) return undefined;
      const blocks = await file.readBlocks(stored);
      const heads = headsInPairs(architecture, partsOf(stored).module, config);
      if (!blocks || heads === undefined) return blocks;
      const [rows] = file.tensors.get(stored)!.shape as [number];
      const reorderedRows = <Data extends Float32Array | Int8Array | Uint8Array>(data: Data): Data =>
        reorderRows(data, rows, heads, "halves");
      return () => {
        const { numbers, scales, minima, ...same } = blocks();
        return {
          ...same,
          numbers: reorderedRows(numbers),
          scales: reorderedRows(scales),
          minima: minima && reorderedRows(minima),
        };
      };
    },
  };
}

function partsOf(stored: string): { module: string; part: string } {
  const [, module = stored, part = ""] = /^(.*)\.(weight|bias)$/.exec(stored) ?? [];
  return { module, part };
}

function publicName(architecture: GgufArchitecture, stored: string): string {
  const { module, part } = partsOf(stored);
  const found = huggingFaceModule(architecture, module);
  return found === undefined ? stored : `${found}.${part}`;
}

function isTransposed({ transposed }: GgufArchitecture, stored: string): boolean {
  const { module, part } = partsOf(stored);
  return part === "weight" && transposed?.includes(module.replace(/^blk\.\d+\./, "")) === true;
}

function asInHuggingFace(
  architecture: GgufArchitecture,
  config: Record<string, unknown>,
  stored: string,
  tensor: Tensor<"float32">,
): Tensor<"float32"> {
  if (isTransposed(architecture, stored)) return transposed(tensor);
  const { module } = partsOf(stored);
  if (architecture.addsOne && module.endsWith("norm")) {
    return float32(
      tensor.shape,
      tensor.data.map((value) => value - 1),
    );
  }
  const heads = headsInPairs(architecture, module, config);
  return heads === undefined ? tensor : reorderPairs(tensor, heads, "halves");
}
