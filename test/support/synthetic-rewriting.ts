import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describeModel } from "../../src/architectures/families.ts";
import { traceModel } from "../../src/architectures/trace.ts";
import { writeSafetensors } from "../../src/checkpoints/safetensors-node.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { constant, normal, randomFor } from "../../src/methods/initializers.ts";

const WORDS = "ant bee cat dog eel fox gnu hen jay owl".split(" ");
const SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"];
const TOKENS = [
  ...SPECIAL,
  ...["reverse", "shout", "longest", "/"],
  ...WORDS,
  ...WORDS.map((word) => word.toUpperCase()),
];

/** A tokenizer of whole words, with BART's special tokens. */
const TOKENIZER = {
  version: "1.0",
  added_tokens: SPECIAL.map((content, id) => ({
    ...{ id, content, special: true, normalized: false },
    ...{ single_word: false, lstrip: false, rstrip: false },
  })),
  normalizer: null,
  pre_tokenizer: { type: "WhitespaceSplit" },
  post_processor: {
    type: "TemplateProcessing",
    single: ["<s>", "A", "</s>"].map((id) =>
      id === "A" ? { Sequence: { id, type_id: 0 } } : { SpecialToken: { id, type_id: 0 } },
    ),
    pair: [{ Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 0 } }],
    special_tokens: Object.fromEntries(
      ["<s>", "</s>"].map((id) => [id, { id, ids: [SPECIAL.indexOf(id)], tokens: [id] }]),
    ),
  },
  decoder: null,
  model: { type: "WordLevel", unk_token: "<unk>", vocab: Object.fromEntries(TOKENS.map((token, id) => [token, id])) },
};

const BART = {
  model_type: "bart",
  architectures: ["BartForConditionalGeneration"],
  is_encoder_decoder: true,
  vocab_size: TOKENS.length,
  d_model: 64,
  encoder_layers: 2,
  decoder_layers: 2,
  encoder_attention_heads: 4,
  decoder_attention_heads: 4,
  encoder_ffn_dim: 128,
  decoder_ffn_dim: 128,
  max_position_embeddings: 32,
  dropout: 0,
  bos_token_id: 0,
  pad_token_id: 1,
  eos_token_id: 2,
  decoder_start_token_id: 2,
  forced_eos_token_id: 2,
};

const T5 = {
  model_type: "t5",
  architectures: ["T5ForConditionalGeneration"],
  is_encoder_decoder: true,
  vocab_size: TOKENS.length,
  d_model: 64,
  d_kv: 16,
  d_ff: 128,
  num_layers: 2,
  num_decoder_layers: 2,
  num_heads: 4,
  relative_attention_num_buckets: 16,
  relative_attention_max_distance: 32,
  dropout_rate: 0,
  pad_token_id: 1,
  eos_token_id: 2,
  decoder_start_token_id: 1,
};

/** Writes a small encoder-decoder of random weights whose tokenizer knows the words of {@link rewritings}. */
export async function writeTinyEncoderDecoder(directory: string, family: "bart" | "t5", settings: object = {}) {
  await mkdir(directory, { recursive: true });
  const config = { ...(family === "bart" ? BART : T5), ...settings };
  const description = describeModel(config);
  const tensors = new Map<string, Tensor<"float32">>();
  for (const { name, shape } of traceModel(description, config.vocab_size, "languageModel").weights.values()) {
    const deviation = family === "t5" ? t5Deviation(name, shape.at(-1) as number) : 0.125;
    const initialize = shape.length > 1 ? normal(deviation) : constant(name.endsWith("bias") ? 0 : 1);
    const prefix = family === "bart" ? "model." : "";
    tensors.set(prefix + name, initialize(shape as number[], randomFor(1, name)));
  }
  await writeSafetensors(join(directory, "model.safetensors"), tensors);
  await writeFile(join(directory, "config.json"), JSON.stringify(config));
  await writeFile(join(directory, "tokenizer.json"), JSON.stringify(TOKENIZER));
  const names = { bos_token: "<s>", eos_token: "</s>", unk_token: "<unk>", pad_token: "<pad>" };
  await writeFile(
    join(directory, "tokenizer_config.json"),
    JSON.stringify({ ...names, tokenizer_class: "PreTrainedTokenizerFast" }),
  );
  return directory;
}

/** As T5 begins: words are large, and queries make up for scores that are not scaled. */
function t5Deviation(name: string, width: number): number {
  if (name === "shared.weight") return 1;
  return name.endsWith(".q.weight") ? (width * T5.d_kv) ** -0.5 : width ** -0.5;
}

/** Texts of up to `most` words with what is to be written of each: backwards, in capitals, or the longest of two sentences. */
export function rewritings(count: number, seed: number, most = 4): { document: string; summary: string }[] {
  const random = randomFor(seed, "rewritings");
  const below = (limit: number): number => (random.next() >>> 0) % limit;
  const words = (length: number): string[] => Array.from({ length }, () => WORDS[below(WORDS.length)]!);
  return Array.from({ length: count }, (_, i) => {
    const own = words(1 + below(most));
    if (i % 3 === 0) return { document: `reverse ${own.join(" ")}`, summary: own.toReversed().join(" ") };
    if (i % 3 === 1) return { document: `shout ${own.join(" ")}`, summary: own.join(" ").toUpperCase() };
    const [short, long] = [words(1), words(2 + below(most - 1))];
    const both = below(2) ? [short, long] : [long, short];
    return {
      document: `longest ${both.map((each) => `${each.join(" ")} /`).join(" ")}`,
      summary: `${long.join(" ")} /`,
    };
  });
}
