import { UserError } from "../errors.ts";
import { parseSentencePiece } from "./sentence-piece.ts";

/** The parts of `tokenizer.json` that encoding needs. */
export interface TokenizerJson {
  added_tokens: AddedToken[];
  normalizer: object | null;
  pre_tokenizer: object | null;
  model: object;
  post_processor: object | null;
  decoder: object | null;
}

interface AddedToken {
  id: number;
  content: string;
  lstrip: boolean;
  rstrip: boolean;
  single_word: boolean;
  normalized: boolean;
  special: boolean;
}

/** A token in `tokenizer_config.json`. */
type TokenSetting = string | (Partial<AddedToken> & { content: string }) | null;

/** Settings of `tokenizer_config.json` that affect encoding; unknown ones are ignored. */
export interface TokenizerSettings {
  do_lower_case?: boolean;
  tokenize_chinese_chars?: boolean;
  strip_accents?: boolean | null;
  add_prefix_space?: boolean;
  split_by_punct?: boolean;
  bos_token?: TokenSetting;
  eos_token?: TokenSetting;
  unk_token?: TokenSetting;
  sep_token?: TokenSetting;
  pad_token?: TokenSetting;
  cls_token?: TokenSetting;
  mask_token?: TokenSetting;
  additional_special_tokens?: (string | { content: string })[] | null;
  add_bos_token?: boolean;
  add_eos_token?: boolean;
  /** Whether a space goes before each text between special tokens, and not only before the first. */
  legacy?: boolean | null;
  /** Tokens added to the vocabulary, by id. */
  added_tokens_decoder?: Record<string, Partial<AddedToken> & { content: string }>;
}

/** A tokenizer and its settings, with special tokens resolved. */
export interface BuiltTokenizer {
  tokenizer: TokenizerJson;
  config: TokenizerSettings & Record<SpecialName, string>;
}

/** In the order in which Transformers adds missing ones to the vocabulary. */
export const specialNames = [
  "bos_token",
  "eos_token",
  "unk_token",
  "sep_token",
  "pad_token",
  "cls_token",
  "mask_token",
] as const;
type SpecialName = (typeof specialNames)[number];
export type Specials = Record<SpecialName, TokenSetting>;

const bertTokens: Specials = {
  bos_token: "[CLS]",
  eos_token: "[SEP]",
  unk_token: "[UNK]",
  sep_token: "[SEP]",
  pad_token: "[PAD]",
  cls_token: "[CLS]",
  mask_token: "[MASK]",
};
const robertaTokens: Specials = {
  bos_token: "<s>",
  eos_token: "</s>",
  unk_token: "<unk>",
  sep_token: "</s>",
  pad_token: "<pad>",
  cls_token: "<s>",
  mask_token: "<mask>",
};
const greedyMask = { content: "<mask>", lstrip: true };

/**
 * Builds the tokenizer of a `vocab.txt`: BERT's WordPiece, with the settings of Transformers' `BertTokenizer`, or of
 * `MPNetTokenizer` if the model type is `mpnet`.
 */
export function fromWordPiece(vocabulary: string, settings: TokenizerSettings, modelType: string): BuiltTokenizer {
  const ids = new Map<string, number>();
  for (const [id, line] of vocabulary
    .replace(/\r?\n$/, "")
    .split(/\r?\n/)
    .entries())
    ids.set(line, id);
  const mpnet = modelType === "mpnet";
  const specials = resolve(
    mpnet ? { ...robertaTokens, unk_token: "[UNK]", mask_token: greedyMask } : bertTokens,
    settings,
  );
  const tokenizer: TokenizerJson = {
    added_tokens: addedTokens(ids, specials, settings),
    normalizer: {
      type: "BertNormalizer",
      clean_text: true,
      handle_chinese_chars: settings.tokenize_chinese_chars ?? true,
      strip_accents: settings.strip_accents ?? null,
      lowercase: settings.do_lower_case ?? true,
    },
    pre_tokenizer: { type: "BertPreTokenizer" },
    model: {
      type: "WordPiece",
      unk_token: contentOf(specials.unk_token),
      continuing_subword_prefix: "##",
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(ids),
    },
    post_processor: mpnet ? robertaTemplate(specials) : bertTemplate(specials),
    decoder: { type: "WordPiece", prefix: "##", cleanup: true },
  };
  return { tokenizer, config: { ...settings, ...contents(specials) } };
}

/** Builds the tokenizer of `vocab.json` and `merges.txt`: byte-level BPE, with the settings of `RobertaTokenizer`. */
export function fromMerges(
  vocabulary: Record<string, number>,
  merges: string,
  settings: TokenizerSettings,
): BuiltTokenizer {
  const specials = resolve(robertaTokens, settings);
  const tokenizer: TokenizerJson = {
    added_tokens: addedTokens(new Map(Object.entries(vocabulary)), specials, settings),
    normalizer: null,
    pre_tokenizer: {
      type: "ByteLevel",
      add_prefix_space: settings.add_prefix_space ?? false,
      trim_offsets: true,
      use_regex: true,
    },
    model: {
      type: "BPE",
      unk_token: contentOf(specials.unk_token),
      vocab: vocabulary,
      merges: merges.split(/\r?\n/).filter((line) => line !== "" && !line.startsWith("#version")),
    },
    post_processor: robertaTemplate(specials),
    decoder: { type: "ByteLevel" },
  };
  return { tokenizer, config: { ...settings, ...contents(specials) } };
}

/**
 * Builds the tokenizer of a SentencePiece unigram model: DeBERTaV2 and V3's `spm.model`, as `DebertaV2Converter` does,
 * or, by the model type, XLM-RoBERTa's and CamemBERT's `sentencepiece.bpe.model`, whose ids fairseq shifted.
 *
 * `DebertaV2Tokenizer` of Transformers 5 omits the normalisation with which the model was trained. It is kept here, as
 * in Transformers 4 and SentencePiece itself. Only compatibility characters (`…`, `ﬁ`, full width) differ.
 * @throws UserError if the bytes are not a unigram model.
 */
export function fromSentencePiece(
  model: Uint8Array,
  location: string,
  settings: TokenizerSettings,
  modelType: string,
): BuiltTokenizer {
  const { pieces, charsmap, merges } = parseSentencePiece(model, location);
  if (merges) throw new UserError(`${location} is not a unigram model, which models of type "${modelType}" have`);
  const deberta = modelType === "deberta-v2";
  const camembert = modelType === "camembert";
  const defaults = deberta ? bertTokens : camembert ? { ...robertaTokens, mask_token: greedyMask } : robertaTokens;
  const specials = resolve(defaults, settings);
  const [bos, pad, eos, unk, mask] = (["bos_token", "pad_token", "eos_token", "unk_token", "mask_token"] as const).map(
    (name) => [contentOf(specials[name]), 0] as const,
  );

  const scored = pieces.map(({ piece, score }) => [piece, score] as const);
  // "NOTUSED" replaces tokens of fairseq's own dictionary that SentencePiece has again later.
  const camembertHead = [["<s>NOTUSED", 0], pad!, ["</s>NOTUSED", 0], unk!, ["<unk>NOTUSED", -100]] as const;
  const vocabulary = deberta
    ? scored
    : camembert
      ? [...camembertHead, ...scored.slice(1), mask!]
      : [bos!, pad!, eos!, unk!, ...scored.slice(3), mask!];
  const ids = new Map(vocabulary.map(([piece], id) => [piece, id]));
  const metaspace = { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: true };

  const tokenizer: TokenizerJson = {
    added_tokens: addedTokens(ids, specials, settings),
    normalizer: {
      type: "Sequence",
      normalizers: deberta
        ? [
            ...(settings.do_lower_case ? [{ type: "Lowercase" }] : []),
            { type: "Strip", strip_left: true, strip_right: true },
            ...precompiled(charsmap),
            replace(" {2,}", " "),
          ]
        : precompiled(charsmap),
    },
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: deberta
        ? [...(settings.split_by_punct ? [{ type: "Punctuation", behavior: "Isolated" }] : []), metaspace]
        : [{ type: "WhitespaceSplit" }, metaspace],
    },
    model: { type: "Unigram", unk_id: ids.get(unk![0]), vocab: vocabulary },
    post_processor: deberta ? bertTemplate(specials) : robertaTemplate(specials),
    decoder: metaspace,
  };
  return { tokenizer, config: { ...settings, ...contents(specials) } };
}

export const replace = (expression: string, content: string) => ({
  type: "Replace",
  pattern: { Regex: expression },
  content,
});

/** Returns SentencePiece's normalisation; nothing if the model has none. */
export const precompiled = (charsmap: Uint8Array): object[] =>
  charsmap.length ? [{ type: "Precompiled", precompiled_charsmap: toBase64(charsmap) }] : [];

function contentOf(token: TokenSetting): string {
  return typeof token === "string" ? token : (token?.content ?? "");
}

/** Returns the special tokens of the settings, with the family's defaults for those not named. */
export function resolve(defaults: Specials, settings: TokenizerSettings): Specials {
  return Object.fromEntries(specialNames.map((name) => [name, settings[name] ?? defaults[name]])) as typeof defaults;
}

/** Returns the tokens that a model has. */
export function contents(specials: Specials): Record<SpecialName, string> {
  const found = specialNames.filter((name) => specials[name] !== null);
  return Object.fromEntries(found.map((name) => [name, contentOf(specials[name])])) as Record<SpecialName, string>;
}

/** Returns special tokens, with new ids for those that the vocabulary lacks, and other added tokens. */
export function addedTokens(
  vocabulary: ReadonlyMap<string, number>,
  specials: Specials,
  settings: TokenizerSettings,
): AddedToken[] {
  const tokens = new Map<string, AddedToken>();
  const add = (id: number, token: Exclude<TokenSetting, null>, special: boolean) => {
    const details = typeof token === "string" ? { content: token } : token;
    tokens.set(details.content, {
      lstrip: false,
      rstrip: false,
      single_word: false,
      special,
      normalized: !special,
      ...details,
      id,
    });
  };
  for (const [id, token] of Object.entries(settings.added_tokens_decoder ?? {}))
    add(Number(id), token, token.special ?? false);
  let next = [...tokens.values()].reduce((most, { id }) => Math.max(most, id + 1), vocabulary.size);
  for (const token of [...Object.values(specials), ...(settings.additional_special_tokens ?? [])]) {
    if (token === null || tokens.has(contentOf(token))) continue;
    add(vocabulary.get(contentOf(token)) ?? next++, token, true);
  }
  return [...tokens.values()].sort((a, b) => a.id - b.id);
}

const special = (id: string, type_id: number) => ({ SpecialToken: { id, type_id } });
const sequence = (id: "A" | "B", type_id: number) => ({ Sequence: { id, type_id } });

/** Template `[CLS] A [SEP]`, `[CLS] A [SEP] B [SEP]` with token types 0 and 1. */
function bertTemplate(specials: Specials): object {
  const { cls_token: cls, sep_token: sep } = contents(specials);
  const single = [special(cls, 0), sequence("A", 0), special(sep, 0)];
  return { type: "TemplateProcessing", single, pair: [...single, sequence("B", 1), special(sep, 1)] };
}

/** Template `<s> A </s>`, `<s> A </s> </s> B </s>` with one token type. */
function robertaTemplate(specials: Specials): object {
  const { cls_token: cls, sep_token: sep } = contents(specials);
  const single = [special(cls, 0), sequence("A", 0), special(sep, 0)];
  return { type: "TemplateProcessing", single, pair: [...single, special(sep, 0), sequence("B", 0), special(sep, 0)] };
}

function toBase64(bytes: Uint8Array): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}
