import { UserError } from "../../errors.ts";
import { float32, type Tensor } from "../../graph/tensor.ts";
import { type ByteSource, bytesSource } from "../byte-source.ts";
import type { ModelFiles } from "../model-files.ts";
import type { TensorSource } from "../tensor-source.ts";
import { architectureOf, configOf, type GgufArchitecture, turnPairs } from "./architectures.ts";
import { type Gguf, openGguf } from "./gguf.ts";
import { tokenizerOf } from "./tokenizer.ts";

/** What the file with the weights is called in the folder that a GGUF file stands for. */
const WEIGHTS = "model.gguf";

/**
 * A GGUF file as the Hugging Face model folder that it was made from: configuration and tokenizer come from its metadata,
 * tensors have Hugging Face's names and order.
 * @throws UserError where it is damaged, or no model that is supported.
 */
export async function ggufFiles(source: ByteSource): Promise<ModelFiles> {
  const { location } = source;
  const file = await openGguf(source);
  const config = await configOf(file);
  const made: Record<string, () => unknown> = {
    "config.json": () => config,
    "tokenizer.json": () => tokenizerOf(file).json,
    "tokenizer_config.json": () => tokenizerOf(file).settings,
    "generation_config.json": () => ({ eos_token_id: endTokens(file) }),
  };
  return {
    location,
    formats: [{ file: WEIGHTS, open: async () => huggingFaceTensors(file, config) }],
    async open(name) {
      if (name === WEIGHTS) return source;
      const make = Object.hasOwn(made, name) ? made[name] : undefined;
      return make && bytesSource(`${location}: ${name}`, new TextEncoder().encode(JSON.stringify(make())));
    },
  };
}

/** Tokens that end an answer: a text's, and where it is another one a turn's. */
function endTokens({ metadata }: Gguf): number[] {
  const ids = ["eos", "eot"].map((name) => metadata.get(`tokenizer.ggml.${name}_token_id`));
  return [...new Set(ids.filter((id) => typeof id === "number"))];
}

/** The tensors as a Hugging Face checkpoint has them; what it has no name for keeps its own. */
function huggingFaceTensors(file: Gguf, config: Record<string, unknown>): TensorSource {
  const architecture = architectureOf(file);
  const own = new Map([...file.tensors.keys()].map((name) => [publicName(architecture, name), name]));
  own.delete("rope_freqs.weight");
  const tensors = [...own].map(([name, stored]) => {
    const { dtype, shape } = file.tensors.get(stored)!;
    return [name, { dtype, shape: isTransposed(architecture, stored) ? shape.toReversed() : shape }] as const;
  });
  return {
    location: file.location,
    tensors: new Map(tensors),
    async read(name) {
      const stored = own.get(name);
      if (stored === undefined) throw new UserError(`${file.location} has no tensor "${name}"`);
      return asInHuggingFace(architecture, config, stored, await file.read(stored));
    },
  };
}

function publicName({ modules }: GgufArchitecture, stored: string): string {
  const [, module = "", part = ""] = /^(.*)\.(weight|bias)$/.exec(stored) ?? [];
  const [block] = /(?<=^blk\.)\d+/.exec(module) ?? [];
  const found = modules[module.replace(/(?<=^blk\.)\d+/, "#")];
  return found === undefined ? stored : `${found.replace("#", block ?? "#")}.${part}`;
}

const moduleOf = (stored: string): string => stored.replace(/^blk\.\d+\./, "").replace(/\.(weight|bias)$/, "");

const isTransposed = ({ transposed }: GgufArchitecture, stored: string): boolean =>
  stored.endsWith(".weight") && transposed?.includes(moduleOf(stored)) === true;

function asInHuggingFace(
  architecture: GgufArchitecture,
  config: Record<string, unknown>,
  stored: string,
  tensor: Tensor<"float32">,
): Tensor<"float32"> {
  const module = moduleOf(stored);
  if (isTransposed(architecture, stored)) return transposed(tensor);
  if (architecture.addsOne && module.endsWith("norm"))
    return float32(
      tensor.shape,
      tensor.data.map((value) => value - 1),
    );
  if (architecture.pairsHeads && (module === "attn_q" || module === "attn_k")) {
    const heads = module === "attn_q" ? config.num_attention_heads : config.num_key_value_heads;
    return turnPairs(tensor, heads as number, "halves");
  }
  return tensor;
}

function transposed({ shape, data }: Tensor<"float32">): Tensor<"float32"> {
  const [rows, columns] = shape as [number, number];
  const turned = float32([columns, rows]);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) turned.data[j * rows + i] = data[i * columns + j]!;
  return turned;
}
