import fc from "fast-check";
import { maybe, size, text, word } from "./parts.ts";

const { regex } = fc.letrec<{ regex: string; atom: string; piece: string }>((tie) => ({
  atom: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom("a", "e", " ", ".", "\\s", "\\S", "[\\s\\S]", "[^b]", "[a-z]", "\\p{L}", "\\p{N}", "^", "$", "\\b"),
    fc.constantFrom(
      "\\x01",
      "'s",
      "\\r\\n",
      "(?=a)",
      "(?!\\S)",
      "(?<!a)",
      "\\1",
      "(?i:x)",
      "é",
      "\\u{1F600}",
      "[",
      "(",
    ),
    tie("regex").map((inner) => `(?:${inner})`),
    tie("regex").map((inner) => `(${inner})`),
    fc.tuple(tie("regex"), tie("regex")).map(([a, b]) => `(?:${a}|${b})`),
  ),
  piece: fc
    .tuple(
      tie("atom"),
      fc.constantFrom("", "", "*", "+", "?", "*?", "+?", "{2}", "{0,3}", "{1,}", "{0,999}", "{99999}"),
    )
    .map(([atom, times]) => atom + times),
  regex: fc.oneof(
    { maxDepth: 4 },
    tie("piece"),
    fc.array(tie("piece"), { minLength: 1, maxLength: 4 }).map((pieces) => pieces.join("")),
    fc.tuple(tie("piece"), fc.integer({ min: 2, max: 40 })).map(([piece, times]) => piece.repeat(times)),
  ),
}));

const pattern = fc.oneof(
  word.map((literal) => ({ String: literal })),
  regex.map((expression) => ({ Regex: expression })),
);

const { normalizer } = fc.letrec((tie) => ({
  normalizer: fc.oneof(
    { maxDepth: 3 },
    fc.record({ type: fc.constantFrom("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "Other") }),
    fc.record({ type: fc.constant("Replace"), pattern, content: word }),
    fc.record({ type: fc.constant("Prepend"), prepend: word }),
    fc.record({ type: fc.constant("Strip"), strip_left: fc.boolean(), strip_right: fc.boolean() }),
    fc.record({ type: fc.constant("BertNormalizer"), lowercase: fc.boolean(), strip_accents: maybe(fc.boolean()) }),
    fc.record({ type: fc.constant("Precompiled"), precompiled_charsmap: fc.base64String({ maxLength: 64 }) }),
    fc.record({ type: fc.constant("Sequence"), normalizers: fc.array(tie("normalizer"), { maxLength: 4 }) }),
    // The same step again and again.
    fc.record({
      type: fc.constant("Sequence"),
      normalizers: fc
        .tuple(tie("normalizer"), fc.integer({ min: 2, max: 30 }))
        .map(([one, times]) => Array(times).fill(one)),
    }),
  ),
}));

const { preTokenizer } = fc.letrec((tie) => ({
  preTokenizer: fc.oneof(
    { maxDepth: 3 },
    fc.record({ type: fc.constantFrom("Whitespace", "WhitespaceSplit", "BertPreTokenizer", "Punctuation", "Other") }),
    fc.record({ type: fc.constant("ByteLevel"), add_prefix_space: fc.boolean(), use_regex: fc.boolean() }),
    fc.record({
      type: fc.constant("Metaspace"),
      replacement: word,
      prepend_scheme: fc.constantFrom("always", "first", "never"),
    }),
    fc.record({ type: fc.constant("Digits"), individual_digits: fc.boolean() }),
    fc.record({
      type: fc.constant("Split"),
      pattern,
      behavior: fc.constantFrom("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"),
      invert: fc.boolean(),
    }),
    fc.record({ type: fc.constant("Sequence"), pretokenizers: fc.array(tie("preTokenizer"), { maxLength: 4 }) }),
  ),
}));

const vocabulary = fc
  .uniqueArray(fc.oneof(word, fc.string({ maxLength: 3 })), { maxLength: 40 })
  .map((words) => Object.fromEntries([..."abcdefghijklmnopqrstuvwxyz", ...words].map((each, id) => [each, id])));
const merges = fc.array(fc.oneof(fc.tuple(word, word), fc.constantFrom("t h", "th e", "a", "a b c", "e e")), {
  maxLength: 30,
});

const model = fc.oneof(
  fc.record({
    type: fc.constant("BPE"),
    vocab: vocabulary,
    merges,
    unk_token: maybe(word),
    byte_fallback: fc.boolean(),
  }),
  fc.record({
    type: fc.constant("WordPiece"),
    vocab: vocabulary,
    unk_token: word,
    continuing_subword_prefix: word,
    max_input_chars_per_word: size,
  }),
  fc.record({ type: fc.constant("WordLevel"), vocab: vocabulary, unk_token: word }),
  fc.record({
    type: fc.constant("Unigram"),
    vocab: fc
      .array(fc.tuple(word, fc.double({ max: 0 })), { maxLength: 40 })
      .map((more) => [..."abcdefghijklmnopqrstuvwxyz"].map((each) => [each, -3] as [string, number]).concat(more)),
    unk_id: fc.oneof(size, fc.constant(null)),
  }),
);

const templateItem = fc.oneof(
  fc.record({ SpecialToken: fc.record({ id: word, type_id: fc.constantFrom(0, 1) }) }),
  fc.record({ Sequence: fc.record({ id: fc.constantFrom("A", "B"), type_id: fc.constantFrom(0, 1) }) }),
);
const tokenPair = fc.tuple(word, fc.nat(60));
const { processor } = fc.letrec((tie) => ({
  processor: fc.oneof(
    { maxDepth: 2 },
    fc.record({ type: fc.constant("ByteLevel") }),
    fc.record({ type: fc.constantFrom("BertProcessing", "RobertaProcessing"), cls: tokenPair, sep: tokenPair }),
    fc.record({
      type: fc.constant("TemplateProcessing"),
      single: fc.array(templateItem, { maxLength: 4 }),
      pair: fc.array(templateItem, { maxLength: 6 }),
      special_tokens: fc.dictionary(word, fc.record({ ids: fc.array(fc.nat(60), { maxLength: 3 }) }), { maxKeys: 3 }),
    }),
    fc.record({ type: fc.constant("Sequence"), processors: fc.array(tie("processor"), { maxLength: 3 }) }),
  ),
}));

export const tokenizer = text(
  fc.record({
    added_tokens: fc.array(fc.record({ id: fc.nat(80), content: word, special: fc.boolean() }), { maxLength: 6 }),
    normalizer: fc.oneof(normalizer, fc.constant(null)),
    pre_tokenizer: fc.oneof(preTokenizer, fc.constant(null)),
    model,
    padding: fc.oneof(
      { weight: 9, arbitrary: fc.constant({ pad_token: "a" }) },
      { weight: 1, arbitrary: fc.constant(null) },
    ),
    post_processor: fc.oneof(processor, fc.constant(null)),
    decoder: fc.oneof(fc.constant(null), fc.record({ type: fc.constantFrom("ByteLevel", "WordPiece", "Metaspace") })),
  }),
);
