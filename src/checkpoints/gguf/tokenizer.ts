import { UserError } from "../../errors.ts";
import { decoderOfPieces, idsOf, mergesOf, modelOfPieces, surround } from "../sentence-pieces.ts";
import type { Gguf } from "./gguf.ts";
import type { GgufValue, NumberList } from "./header.ts";

/** Equivalent of a model folder's `tokenizer.json` and `tokenizer_config.json`. */
export interface GgufTokenizer {
  /** Builds tokenizer.json on demand: the largest take more memory than anything else kept of a model. */
  json(): object;
  settings: Record<string, unknown>;
}

/** Codes of `tokenizer.ggml.token_type`. */
const [CONTROL, USER_DEFINED] = [3, 4];

const byteLevel = (split: string | undefined) => ({
  type: "ByteLevel",
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: split === undefined,
});

/** Splits texts by a regular expression, and then into bytes. */
const splitBy = (expression: string) => ({
  type: "Sequence",
  pretokenizers: [
    { type: "Split", pattern: { Regex: expression }, behavior: "Isolated", invert: false },
    byteLevel(expression),
  ],
});

const LLAMA_3 = splitBy(
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
);
const QWEN_2 = splitBy(
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
);

/** Pre-tokenizers by `tokenizer.ggml.pre`; llama.cpp's `llama-vocab.cpp` has the full list. */
const PRE_TOKENIZERS: Readonly<Record<string, Partial<BytePairs>>> = {
  "gpt-2": {},
  // Splits digits individually.
  smollm: {
    preTokenizer: {
      type: "Sequence",
      pretokenizers: [{ type: "Digits", individual_digits: true }, byteLevel(undefined)],
    },
  },
  ...Object.fromEntries(
    ["llama-bpe", "llama3", "llama-v3"].map((name) => [
      name,
      { preTokenizer: LLAMA_3, ignoreMerges: true, addsBos: true },
    ]),
  ),
  ...Object.fromEntries(
    ["qwen2", "deepseek-r1-qwen"].map((name) => [name, { preTokenizer: QWEN_2, normalizer: { type: "NFC" } }]),
  ),
};

/** Differences between byte-level tokenizers. */
interface BytePairs {
  normalizer: object | null;
  preTokenizer: object;
  /** Whether a text that is in the vocabulary becomes one token, regardless of merges. */
  ignoreMerges: boolean;
  /** Whether texts begin with a BOS token if the file does not say. */
  addsBos: boolean;
}

/**
 * Builds the tokenizer of a GGUF file; its settings include the chat template.
 * @throws UserError if there is none, or its kind is not supported.
 */
export function tokenizerOf(file: Gguf): GgufTokenizer {
  const { location, metadata } = file;
  const get = (key: string): GgufValue | undefined => metadata.get(`tokenizer.ggml.${key}`);
  const tokens = textsOf(get("tokens"));
  if (!tokens) throw new UserError(`${location} has no tokenizer: "tokenizer.ggml.tokens" is missing`);
  const model = get("model");
  if (model !== "gpt2" && model !== "llama") {
    throw new UserError(
      `${location}: tokenizers of kind "${String(model).slice(0, 60)}" are not supported (supported: gpt2 with byte pairs, llama with SentencePiece)`,
    );
  }
  const token = (name: string): string | undefined => {
    const id = get(`${name}_token_id`);
    return typeof id === "number" ? tokens[id] : undefined;
  };
  const [bos, eos, unknown] = [token("bos"), token("eos"), token("unknown")];
  const kind = model === "gpt2" ? bytePairs(file, tokens) : sentencePieces(file, tokens, unknown);
  const types = numbersOf(get("token_type")) ?? [];
  const added = tokens.flatMap((content, id) => {
    const type = types[id];
    if (type !== CONTROL && type !== USER_DEFINED) return [];
    const plain = { lstrip: false, rstrip: false, single_word: false, normalized: false };
    return { id, content, ...plain, special: type === CONTROL };
  });
  const addsBos = bos !== undefined && (get("add_bos_token") ?? kind.addsBos) === true;
  const addsEos = eos !== undefined && get("add_eos_token") === true;
  const template = metadata.get("tokenizer.chat_template");
  const contextLength = metadata.get(`${metadata.get("general.architecture")}.context_length`);
  return {
    json: () => ({
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: added,
      normalizer: kind.normalizer,
      pre_tokenizer: kind.preTokenizer,
      post_processor:
        addsBos || addsEos
          ? surround((token) => tokens.indexOf(token), addsBos ? bos : undefined, addsEos ? eos : undefined)
          : null,
      decoder: kind.decoder,
      model: kind.model(),
    }),
    settings: {
      tokenizer_class: "PreTrainedTokenizerFast",
      ...(bos !== undefined && { bos_token: bos }),
      ...(eos !== undefined && { eos_token: eos }),
      ...(unknown !== undefined && { unk_token: unknown }),
      // Llama has no padding token. Any will do, because padding is masked.
      pad_token: token("padding") ?? eos ?? unknown ?? tokens[0],
      add_bos_token: addsBos,
      add_eos_token: addsEos,
      clean_up_tokenization_spaces: false,
      ...(typeof contextLength === "number" && { model_max_length: contextLength }),
      ...(typeof template === "string" && { chat_template: template }),
    },
  };
}

/** Differences between kinds of tokenizers. */
interface Kind extends Omit<BytePairs, "ignoreMerges"> {
  model(): object;
  decoder: object;
}

const BYTES = byteLevel(undefined);

function bytePairs({ location, metadata }: Gguf, tokens: readonly string[]): Kind {
  const pre = String(metadata.get("tokenizer.ggml.pre") ?? "gpt-2");
  if (!Object.hasOwn(PRE_TOKENIZERS, pre)) {
    throw new UserError(
      `${location}: the pre-tokenizer "${pre.slice(0, 60)}" is not supported (supported: ${Object.keys(PRE_TOKENIZERS).join(", ")})`,
    );
  }
  const merges = textsOf(metadata.get("tokenizer.ggml.merges"));
  if (!merges) throw new UserError(`${location} has no tokenizer merges: "tokenizer.ggml.merges" is missing`);
  const { normalizer = null, preTokenizer = BYTES, ignoreMerges = false, addsBos = false } = PRE_TOKENIZERS[pre]!;
  return {
    normalizer,
    preTokenizer,
    addsBos,
    decoder: BYTES,
    model: () => ({
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: "",
      end_of_word_suffix: "",
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: ignoreMerges,
      vocab: idsOf(tokens),
      merges,
    }),
  };
}

function sentencePieces({ location, metadata }: Gguf, stored: readonly string[], unknown: string | undefined): Kind {
  const scores = numbersOf(metadata.get("tokenizer.ggml.scores"));
  if (scores?.length !== stored.length) {
    throw new UserError(
      `${location} is damaged: its tokenizer has ${stored.length} pieces, but another number of scores`,
    );
  }
  const gemma = String(metadata.get("general.architecture")).startsWith("gemma");
  // GGUF stores Gemma's runs of "▁" as spaces, and Gemma's scores do not follow the order of its merges.
  const tokens = gemma ? stored.map((token) => (/^ {2,}$/.test(token) ? "▁".repeat(token.length) : token)) : stored;
  const merges = textsOf(metadata.get("tokenizer.ggml.merges"))?.map((merge) => merge.split(" "));
  const prefix = !gemma && metadata.get("tokenizer.ggml.add_space_prefix") !== false;
  return {
    normalizer: gemma ? { type: "Replace", pattern: { String: " " }, content: "▁" } : null,
    preTokenizer: gemma
      ? { type: "Split", pattern: { String: " " }, behavior: "MergedWithPrevious", invert: false }
      : { type: "Metaspace", replacement: "▁", prepend_scheme: prefix ? "first" : "never", split: false },
    addsBos: true,
    decoder: decoderOfPieces(prefix),
    model: () =>
      modelOfPieces(tokens, unknown, merges ?? mergesOf(tokens, gemma ? tokens.map((_, id) => -id) : scores, location)),
  };
}

/** Returns a metadata value if it is a list of texts. */
function textsOf(value: GgufValue | undefined): readonly string[] | undefined {
  const isText = (each: unknown): each is string => typeof each === "string";
  return Array.isArray(value) && value.every(isText) ? value : undefined;
}

/** Returns a metadata value if it is a list of numbers. */
const numbersOf = (value: GgufValue | undefined): NumberList | undefined =>
  ArrayBuffer.isView(value) ? value : undefined;
