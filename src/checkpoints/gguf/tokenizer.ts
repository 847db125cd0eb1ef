import { UserError } from "../../errors.ts";
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
        addsBos || addsEos ? surround(tokens, addsBos ? bos : undefined, addsEos ? eos : undefined) : null,
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
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "▁" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        ...(prefix ? [{ type: "Strip", content: " ", start: 1, stop: 0 }] : []),
      ],
    },
    model: () => ({
      type: "BPE",
      dropout: null,
      unk_token: unknown ?? null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
      vocab: idsOf(tokens),
      merges: merges ?? mergesOf(tokens, gemma ? tokens.map((_, id) => -id) : scores, location),
    }),
  };
}

/** Upper limit on squared piece lengths, summed over all pieces; the largest vocabularies have a tenth. */
const MAX_SQUARED_CHARACTERS = 2 ** 28;
/** Upper limit on characters of all merges; the largest vocabularies have a tenth. */
const MAX_CHARACTERS = 2 ** 25;

/**
 * Derives the merges, best first, from the pieces' scores, which are all that SentencePiece uses.
 * @throws UserError if pieces are longer than any tokenizer's.
 */
function mergesOf(tokens: readonly string[], scores: ArrayLike<number>, location: string): [string, string][] {
  const refuse = (): never => {
    throw new UserError(
      `${location} is damaged: pieces of its tokenizer are longer than any tokenizer's; get the file again`,
    );
  };
  if (tokens.reduce((sum, { length }) => sum + length ** 2, 0) > MAX_SQUARED_CHARACTERS) refuse();
  const ids = new Map<string, number>();
  for (const [id, token] of tokens.entries()) ids.set(token, id);
  // Arrays of numbers, not objects: a large vocabulary has half a million merges.
  const [first, second, score, left, right]: [number[], number[], number[], number[], number[]] = [[], [], [], [], []];
  let found = 0;
  for (const [token, id] of ids) {
    const own: { first: number; second: number; left: number }[] = [];
    let characters = 0;
    for (let at = 0; at < token.length; characters++) {
      const [first, second] = [ids.get(token.slice(0, at)), ids.get(token.slice(at))];
      if (at > 0 && first !== undefined && second !== undefined) {
        found += token.length;
        if (found > MAX_CHARACTERS) refuse();
        own.push({ first, second, left: characters });
      }
      at += token.codePointAt(at)! > 0xffff ? 2 : 1;
    }
    for (const merge of own.sort((a, b) => a.first - b.first || a.second - b.second)) {
      first.push(merge.first);
      second.push(merge.second);
      score.push(scores[id]!);
      left.push(merge.left);
      right.push(characters - merge.left);
    }
  }
  return Array.from(first.keys())
    .sort((a, b) => score[b]! - score[a]! || left[b]! - left[a]! || right[b]! - right[a]!)
    .map((i) => [tokens[first[i]!]!, tokens[second[i]!]!]);
}

function idsOf(tokens: readonly string[]): Record<string, number> {
  const ids: Record<string, number> = Object.create(null);
  for (const [id, token] of tokens.entries()) ids[token] = id;
  return ids;
}

/** Builds a post-processor that adds tokens before and after each text. */
function surround(tokens: readonly string[], bos: string | undefined, eos: string | undefined): object {
  const special = (id: string, type_id: number) => ({ SpecialToken: { id, type_id } });
  const around = (id: "A" | "B", type_id: number) => [
    ...(bos === undefined ? [] : [special(bos, type_id)]),
    { Sequence: { id, type_id } },
    ...(eos === undefined ? [] : [special(eos, type_id)]),
  ];
  const used = [bos, eos].filter((token) => token !== undefined);
  return {
    type: "TemplateProcessing",
    single: around("A", 0),
    pair: [...around("A", 0), ...around("B", 1)],
    special_tokens: Object.fromEntries(
      used.map((token) => [token, { id: token, ids: [tokens.indexOf(token)], tokens: [token] }]),
    ),
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
