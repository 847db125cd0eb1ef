import { z } from "zod";
import { inWords, UserError } from "../../errors.ts";
import { float32, type Tensor } from "../../graph/tensor.ts";
import type { Gguf } from "./gguf.ts";

/** Mapping between a model family's GGUF and Hugging Face formats, as in llama.cpp's `convert_hf_to_gguf.py`. */
export interface GgufArchitecture {
  /** `general.architecture` */
  name: string;
  /** The values of `model_type` that this architecture stores. A file is read as the first. */
  modelTypes: readonly [string, ...string[]];
  /** Prefix of its Hugging Face classes. */
  className: string;
  /** Hugging Face's module names by GGUF's; `#` is the block's number. */
  modules: Readonly<Record<string, string>>;
  /**
   * Whether GGUF has the two rows of a rotary pair side by side; Hugging Face has all first halves, then all second
   * ones.
   */
  pairsHeads?: boolean;
  /** Whether norm weights are stored as they multiply; Hugging Face stores them minus 1. */
  addsOne?: boolean;
  /** Modules whose matrix Hugging Face stores as `[in, out]`, by GGUF's names. */
  transposed?: readonly string[];
  /** Returns the family's own settings of config.json. @throws UserError if one is missing or not supported. */
  config(settings: Settings, file: Gguf): Promise<Record<string, unknown>> | Record<string, unknown>;
}

const natural = z.int().positive();
const settingsSchema = z.looseObject({
  block_count: natural,
  context_length: natural,
  embedding_length: natural,
  feed_forward_length: natural,
  "attention.head_count": natural,
  "attention.head_count_kv": natural.optional(),
  "attention.key_length": natural.optional(),
  "attention.layer_norm_rms_epsilon": z.number().positive().optional(),
  "attention.layer_norm_epsilon": z.number().positive().optional(),
  "attention.sliding_window": natural.optional(),
  attn_logit_softcapping: z.number().positive().optional(),
  final_logit_softcapping: z.number().positive().optional(),
  "rope.dimension_count": natural.optional(),
  "rope.freq_base": z.number().positive().optional(),
  "rope.freq_base_swa": z.number().positive().optional(),
  "rope.scaling.type": z.enum(["none", "linear", "yarn"]).default("none"),
  "rope.scaling.factor": z.number().min(1).optional(),
  "rope.scaling.original_context_length": natural.optional(),
  expert_count: z.literal(0).optional(),
});

type Settings = z.output<typeof settingsSchema>;

const ATTENTION = { attn_q: "q_proj", attn_k: "k_proj", attn_v: "v_proj", attn_output: "o_proj" };

/** Modules of Llama and its relatives, except the norms between a block's two parts. */
const LLAMA_MODULES = {
  token_embd: "model.embed_tokens",
  output_norm: "model.norm",
  output: "lm_head",
  ...blockModules({
    attn_norm: "input_layernorm",
    ...Object.fromEntries(Object.entries(ATTENTION).map(([own, name]) => [own, `self_attn.${name}`])),
    attn_q_norm: "self_attn.q_norm",
    attn_k_norm: "self_attn.k_norm",
    ffn_gate: "mlp.gate_proj",
    ffn_up: "mlp.up_proj",
    ffn_down: "mlp.down_proj",
  }),
};

const PRE_NORMS = blockModules({ ffn_norm: "post_attention_layernorm" });
const GEMMA_NORMS = blockModules({
  post_attention_norm: "post_attention_layernorm",
  ffn_norm: "pre_feedforward_layernorm",
  post_ffw_norm: "post_feedforward_layernorm",
});

function blockModules(modules: Record<string, string>, blocks = "model.layers"): Record<string, string> {
  return Object.fromEntries(Object.entries(modules).map(([own, name]) => [`blk.#.${own}`, `${blocks}.#.${name}`]));
}

/** All supported architectures. A new one is one entry. */
export const GGUF_ARCHITECTURES: readonly GgufArchitecture[] = [
  {
    name: "llama",
    modelTypes: ["llama", "mistral"],
    className: "Llama",
    modules: { ...LLAMA_MODULES, ...PRE_NORMS },
    pairsHeads: true,
    config: async (settings, file) => ({
      ...llamaConfig(settings, file, settings["rope.dimension_count"]),
      ...(await ropeFactors(file, settings)),
      attention_bias: file.tensors.has("blk.0.attn_q.bias"),
      mlp_bias: file.tensors.has("blk.0.ffn_up.bias"),
    }),
  },
  {
    name: "qwen2",
    modelTypes: ["qwen2"],
    className: "Qwen2",
    modules: { ...LLAMA_MODULES, ...PRE_NORMS },
    config: llamaConfig,
  },
  {
    name: "qwen3",
    modelTypes: ["qwen3"],
    className: "Qwen3",
    modules: { ...LLAMA_MODULES, ...PRE_NORMS },
    config: llamaConfig,
  },
  {
    name: "gemma2",
    modelTypes: ["gemma2"],
    className: "Gemma2",
    modules: { ...LLAMA_MODULES, ...GEMMA_NORMS },
    addsOne: true,
    config: (settings, file) => ({
      ...gemmaConfig(settings, file, 46),
      attn_logit_softcapping: number(settings.attn_logit_softcapping ?? 50),
      final_logit_softcapping: number(settings.final_logit_softcapping ?? 30),
    }),
  },
  {
    name: "gemma3",
    modelTypes: ["gemma3_text"],
    className: "Gemma3",
    modules: { ...LLAMA_MODULES, ...GEMMA_NORMS },
    addsOne: true,
    config: (settings, file) => ({
      ...gemmaConfig(settings, file, 62),
      rope_theta: number(settings["rope.freq_base"] ?? 1_000_000),
      rope_local_base_freq: number(settings["rope.freq_base_swa"] ?? 10_000),
      // The file lacks this: every sixth block of Gemma 3 attends to the whole text.
      sliding_window_pattern: 6,
    }),
  },
  {
    name: "gpt2",
    modelTypes: ["gpt2"],
    className: "GPT2",
    modules: {
      token_embd: "transformer.wte",
      position_embd: "transformer.wpe",
      output_norm: "transformer.ln_f",
      output: "lm_head",
      ...blockModules(
        {
          attn_norm: "ln_1",
          attn_qkv: "attn.c_attn",
          attn_output: "attn.c_proj",
          ffn_norm: "ln_2",
          ffn_up: "mlp.c_fc",
          ffn_down: "mlp.c_proj",
        },
        "transformer.h",
      ),
    },
    transposed: ["attn_qkv", "attn_output", "ffn_up", "ffn_down"],
    config: (settings) => ({
      n_embd: settings.embedding_length,
      n_layer: settings.block_count,
      n_head: settings["attention.head_count"],
      n_inner: settings.feed_forward_length,
      n_positions: settings.context_length,
      layer_norm_epsilon: number(settings["attention.layer_norm_epsilon"] ?? 1e-5),
    }),
  },
];

/** Returns a file's architecture. @throws UserError if it is not supported. */
export function architectureOf({ location, metadata }: Pick<Gguf, "location" | "metadata">): GgufArchitecture {
  const name = metadata.get("general.architecture");
  const found = GGUF_ARCHITECTURES.find((architecture) => architecture.name === name);
  if (found) return found;
  const names = GGUF_ARCHITECTURES.map((architecture) => architecture.name).join(", ");
  throw new UserError(
    typeof name === "string"
      ? `${location}: models of architecture "${name.slice(0, 60)}" are not supported in GGUF (supported: ${names})`
      : `${location} names no architecture; expected a GGUF file with a language model`,
  );
}

/** Converts a GGUF file's metadata to config.json's values. @throws UserError if they are incomplete or unsupported. */
export async function configOf(file: Gguf): Promise<Record<string, unknown>> {
  const { location, metadata, tensors } = file;
  const type = metadata.get("general.type") ?? "model";
  if (type !== "model") throw new UserError(`${location} holds a "${String(type).slice(0, 60)}", not a model`);
  const { name, modelTypes, className, config } = architectureOf(file);
  const own = [...metadata].filter(([key]) => key.startsWith(`${name}.`));
  const settings = Object.fromEntries(own.map(([key, value]) => [key.slice(name.length + 1), value]));
  const parsed = settingsSchema.safeParse(settings, { error: inWords });
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new UserError(`${location}: "${name}.${issue!.path.join(".")}" is not supported: ${issue!.message}`);
  }
  const [vocabularySize] = tensors.get("token_embd.weight")?.shape ?? [];
  if (vocabularySize === undefined) throw new UserError(`${location} has no tensor "token_embd.weight"`);
  const [modelType] = modelTypes;
  return {
    model_type: modelType,
    architectures: [`${className}ForCausalLM`],
    vocab_size: vocabularySize,
    tie_word_embeddings: !tensors.has("output.weight"),
    bos_token_id: metadata.get("tokenizer.ggml.bos_token_id") ?? null,
    eos_token_id: metadata.get("tokenizer.ggml.eos_token_id") ?? null,
    pad_token_id: metadata.get("tokenizer.ggml.padding_token_id") ?? null,
    ...(await config(parsed.data, file)),
  };
}

/** Converts a float32 of the file to the decimal that was meant: 0.00001, not 0.000009999999747378752. */
function number(value: number): number {
  const decimal = Number(value.toPrecision(7));
  return Math.fround(decimal) === value ? decimal : value;
}

/** @param ownHeadSize features per head, if the architecture has its own key for that */
function llamaConfig(settings: Settings, { location }: Pick<Gguf, "location">, ownHeadSize?: unknown) {
  const heads = settings["attention.head_count"];
  const even = Math.floor(settings.embedding_length / heads);
  const headSize = settings["attention.key_length"] ?? (typeof ownHeadSize === "number" ? ownHeadSize : even);
  const rotaryDimensions = settings["rope.dimension_count"] ?? headSize;
  if (rotaryDimensions !== headSize) {
    throw new UserError(
      `${location} is not supported: rotary positions apply to ${rotaryDimensions} of the ${headSize} features of a head, not to all`,
    );
  }
  const scaling = ropeScaling(settings, location);
  return {
    hidden_size: settings.embedding_length,
    intermediate_size: settings.feed_forward_length,
    num_hidden_layers: settings.block_count,
    num_attention_heads: heads,
    num_key_value_heads: settings["attention.head_count_kv"] ?? heads,
    head_dim: headSize,
    max_position_embeddings: settings.context_length,
    rms_norm_eps: number(settings["attention.layer_norm_rms_epsilon"] ?? 1e-6),
    rope_theta: number(settings["rope.freq_base"] ?? 10_000),
    ...(scaling && { rope_scaling: scaling }),
  };
}

function ropeScaling(settings: Settings, location: string): Record<string, unknown> | undefined {
  const { "rope.scaling.type": type, "rope.scaling.factor": factor } = settings;
  if (type === "none") return undefined;
  if (factor === undefined) throw new UserError(`${location} scales its positions, but does not name the factor`);
  const original = settings["rope.scaling.original_context_length"];
  return {
    rope_type: type,
    factor: number(factor),
    ...(type === "yarn" && original !== undefined && { original_max_position_embeddings: original }),
  };
}

/** @param largest number of blocks of the largest model, which scales its scores differently, as in llama.cpp */
function gemmaConfig(settings: Settings, file: Gguf, largest: number) {
  const config = llamaConfig(settings, file);
  return {
    ...config,
    hidden_activation: "gelu_pytorch_tanh",
    sliding_window: settings["attention.sliding_window"] ?? 4096,
    query_pre_attn_scalar:
      settings.block_count === largest ? settings.embedding_length / settings["attention.head_count"] : config.head_dim,
  };
}

/** Recovers Llama 3's RoPE scaling. The file has only its result, a factor for each pair of features. */
async function ropeFactors(file: Gguf, settings: Settings): Promise<Record<string, unknown>> {
  if (!file.tensors.has("rope_freqs.weight")) return {};
  const { data: factors } = await file.read("rope_freqs.weight");
  const theta = settings["rope.freq_base"] ?? 10_000;
  const scaling = {
    rope_type: "llama3",
    factor: factors.reduce((most, each) => Math.max(most, each), Number.NEGATIVE_INFINITY),
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192,
  };
  const { low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: trained, factor } = scaling;
  const expected = factors.map((_, pair) => {
    const rotations = trained / (2 * Math.PI * theta ** (pair / factors.length));
    const kept = Math.min(1, Math.max(0, (rotations - low) / (high - low)));
    return 1 / ((1 - kept) / factor + kept);
  });
  if (factors.every((each, i) => Math.abs(each / expected[i]! - 1) < 1e-3)) return { rope_scaling: scaling };
  throw new UserError(`${file.location} is not supported: it scales its positions in a way other than Llama 3's`);
}

/** Returns Hugging Face's name of a GGUF module, or undefined if it has none. */
export function huggingFaceModule({ modules }: GgufArchitecture, module: string): string | undefined {
  const [block = ""] = /(?<=^blk\.)\d+/.exec(module) ?? [];
  const own = module.replace(/(?<=^blk\.)\d+/, "#");
  return Object.hasOwn(modules, own) ? modules[own]!.replace("#", block) : undefined;
}

/** Returns GGUF's name of a Hugging Face module without the family's prefix, or undefined if it has none. */
export function ggufModule({ modules }: GgufArchitecture, module: string): string | undefined {
  const [block = ""] = /(?<=\.)\d+(?=\.)/.exec(module) ?? [];
  const own = Object.entries(modules).find(([, name]) => name.replace("#", block) === module)?.[0];
  return own?.replace("#", block);
}

/** Returns the number of heads whose rows a GGUF module stores in pairs, or undefined if it stores no rows so. */
export function headsInPairs(
  { pairsHeads }: GgufArchitecture,
  module: string,
  config: Readonly<Record<string, unknown>>,
): number | undefined {
  if (!pairsHeads || !/\.attn_[qk]$/.test(module)) return undefined;
  const { num_attention_heads: queries, num_key_value_heads: keys } = config;
  return Number(module.endsWith("q") ? queries : (keys ?? queries));
}

/**
 * Reorders rows of queries or keys, `[heads · size, …]`. Features i and i + size / 2 of a head form a rotary pair;
 * llama.cpp stores them side by side.
 */
export const reorderPairs = (tensor: Tensor<"float32">, heads: number, to: "halves" | "pairs"): Tensor<"float32"> =>
  float32(tensor.shape, reorderRows(tensor.data, tensor.shape[0]!, heads, to));

/** Like {@link reorderPairs}, for data of any type with this number of rows. */
export function reorderRows<Data extends Float32Array | Int8Array | Uint8Array>(
  data: Data,
  rows: number,
  heads: number,
  to: "halves" | "pairs",
): Data {
  const width = data.length / rows;
  const half = rows / heads / 2;
  const reordered = data.slice() as Data;
  for (let row = 0; row < rows; row++) {
    const head = Math.floor(row / (2 * half));
    const inHead = row - head * 2 * half;
    // Position in llama.cpp's order of the row at this position in Hugging Face's.
    const paired = head * 2 * half + 2 * (inHead % half) + Math.floor(inHead / half);
    const [from, into] = to === "halves" ? [paired, row] : [row, paired];
    reordered.set(data.subarray(from * width, (from + 1) * width), into * width);
  }
  return reordered;
}
