import { LinearExpression, refuseGrowth, replaceSpans } from "../checkpoints/linear-expression.ts";
import { UserError } from "../errors.ts";
import { Charsmap } from "./charsmap.ts";

interface Description {
  type: string;
  normalizers?: Description[];
  pretokenizers?: Description[];
  decoders?: Description[];
  pattern?: { Regex?: string; String?: string };
  content?: string;
  precompiled_charsmap?: string | null;
  clean_text?: boolean;
  handle_chinese_chars?: boolean;
  strip_accents?: boolean | null;
  lowercase?: boolean;
  individual_digits?: boolean;
  strip_left?: boolean;
  strip_right?: boolean;
}

type Normalize = (text: string) => string;

interface LibraryNormalizer {
  normalize: Normalize;
  normalizers?: LibraryNormalizer[];
}
interface LibraryPreTokenizer {
  pre_tokenize_text(text: string, options?: object): string[];
  pre_tokenize(pieces: string[], options?: object): string[];
  pattern?: RegExp | LinearExpression;
  tokenizers?: LibraryPreTokenizer[];
}
interface LibraryDecoder {
  decode_chain(tokens: string[]): string[];
  pattern?: RegExp | LinearExpression;
  decoders?: LibraryDecoder[];
}

export interface AddedToken {
  id: number;
  content: string;
  single_word?: boolean | undefined;
  lstrip?: boolean | undefined;
  rstrip?: boolean | undefined;
  special?: boolean | undefined;
  normalized?: boolean | undefined;
}

interface Splitter {
  constructor: new (contents: string[]) => Splitter;
}
const splitterOf = (of: Splitter, contents: string[]): Splitter => new of.constructor(contents);

/** The parts of a `Tokenizer` of @huggingface/tokenizers that are corrected here. */
export interface LibraryTokenizer {
  normalizer: Normalize | (Normalize & LibraryNormalizer) | null;
  pre_tokenizer: LibraryPreTokenizer | null;
  decoder: LibraryDecoder | null;
  model: { tokens_to_ids: Map<string, number>; vocab: string[]; config?: object; merges?: unknown[] };
  added_tokens: AddedToken[];
  added_tokens_map: Map<string, AddedToken>;
  special_tokens: string[];
  splitter_normalized: Splitter;
  splitter_unnormalized: Splitter;
}

/** Upper limit on characters of an added token, which is searched for at every position of a text. */
const LONGEST_ADDED = 256;

/**
 * Adds tokens to a tokenizer that was created without them: the library would normalise them with untrusted expressions
 * before those are replaced.
 * @throws UserError if a normalizer is hostile.
 * @throws Error if a token exceeds the limit.
 */
export function addTokens(tokenizer: LibraryTokenizer, tokens: readonly AddedToken[]): void {
  const { normalizer, model, added_tokens_map: known } = tokenizer;
  const contents = { normalized: [] as string[], verbatim: [] as string[] };
  for (const token of tokens) {
    const { id, content, special = false, normalized = !special } = token;
    tokenizer.added_tokens.push({ single_word: false, lstrip: false, rstrip: false, ...token, special, normalized });
    model.tokens_to_ids.set(content, id);
    model.vocab[id] = content;
    if (special) tokenizer.special_tokens.push(content);
    known.set(content, tokenizer.added_tokens.at(-1)!);
    const found = normalized && normalizer ? normalizer(content) : content;
    if (found.length > LONGEST_ADDED) throw new Error(`an added token has ${found.length} characters`);
    if (normalized && normalizer) {
      contents.normalized.push(found);
      known.set(found, tokenizer.added_tokens.at(-1)!);
    } else contents.verbatim.push(content);
  }
  tokenizer.splitter_normalized = splitterOf(tokenizer.splitter_normalized, contents.normalized);
  tokenizer.splitter_unnormalized = splitterOf(tokenizer.splitter_unnormalized, contents.verbatim);
}

/**
 * Regular expressions of published tokenizers, as in their `tokenizer.json`, for which JavaScript's own matcher is
 * fast. All others are untrusted and matched in linear time.
 */
const KNOWN_EXPRESSIONS: ReadonlySet<string> = new Set([
  // GPT-2, RoBERTa, BART, and what follows them
  String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
  // CLIP
  String.raw`<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+`,
  // Llama 3
  String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  // Qwen 2, 2.5 and 3
  String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  // Mistral Nemo
  String.raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  // GPT-4o, gpt-oss, Llama 4
  String.raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  // BLOOM, whose brackets are nested
  " ?[^(\\s|[.,!?…。，、।۔،])]+",
]);

/**
 * Makes a tokenizer of @huggingface/tokenizers return the ids of Hugging Face's own tokenizers library where the two
 * differ: ideographs beyond the basic plane, a final sigma, the definition of white space, and SentencePiece's
 * normalisation, which the JavaScript library only approximates. Also makes it safe: expressions match in linear time,
 * and texts that grow without limit are refused.
 * @param json the `tokenizer.json` from which the tokenizer was created
 * @param where location of the file, for error messages
 * @throws UserError if an expression is refused.
 */
export function makeExact(
  tokenizer: LibraryTokenizer,
  json: { normalizer?: object | null; pre_tokenizer?: object | null; decoder?: unknown },
  where: string,
): void {
  freeSource(tokenizer);
  rememberWords(tokenizer.model as unknown as WordModel);
  const expressions = new Expressions(where);
  if (json.normalizer) {
    const library = tokenizer.normalizer as LibraryNormalizer;
    tokenizer.normalizer = exactNormalizer(json.normalizer as Description, library, expressions);
  }
  if (json.pre_tokenizer) correctPreTokenizer(json.pre_tokenizer as Description, tokenizer.pre_tokenizer!, expressions);
  if (json.decoder) correctDecoder(json.decoder as Description, tokenizer.decoder!, expressions);
}

/** Frees the vocabulary and merges (up to 100 MB) from which a tokenizer was created; it has its own tables. */
function freeSource({ model }: LibraryTokenizer): void {
  Object.assign(model.config!, { vocab: undefined, merges: undefined });
  if (model.merges) model.merges = [];
}

/** Upper limits on the words whose tokens are remembered, and on their characters. */
const MOST_WORDS = 2 ** 15;
const LONGEST_WORD = 32;

interface WordModel {
  config: { byte_fallback?: boolean };
  tokens_to_ids: Map<string, number>;
  merges?: unknown[];
  encode(words: readonly string[]): string[];
}

/**
 * Remembers the tokens of words, most of which occur in many texts, and writes unknown characters as bytes if a unigram
 * model has such pieces. The library does both for BPE alone.
 */
function rememberWords(model: WordModel): void {
  if (model.merges) return;
  const encode = (words: readonly string[]) => split(words).flatMap((token) => bytesOf(token) ?? token);
  const split = model.encode.bind(model);
  const bytesOf = (token: string): string[] | undefined => {
    if (!model.config.byte_fallback || model.tokens_to_ids.has(token)) return undefined;
    const bytes = Array.from(
      new TextEncoder().encode(token),
      (byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
    );
    return bytes.every((byte) => model.tokens_to_ids.has(byte)) ? bytes : undefined;
  };
  const known = new Map<string, string[]>();
  model.encode = (words) =>
    words.flatMap((word) => {
      const tokens = known.get(word) ?? encode([word]);
      if (word.length > LONGEST_WORD || known.has(word)) return tokens;
      if (known.size === MOST_WORDS) known.clear();
      known.set(word, tokens);
      return tokens;
    });
}

/** Upper limit on characters of a file's expressions, which the library scans repeatedly while it compiles them. */
const MAX_EXPRESSIONS = 2 ** 14;

/** @throws UserError if the expressions in parts of a `tokenizer.json` exceed the limit. */
export function refuseLongExpressions(parts: unknown, where: string): void {
  const lengthIn = (value: unknown): number => {
    if (typeof value !== "object" || value === null) return 0;
    const own = "Regex" in value && typeof value.Regex === "string" ? value.Regex.length : 0;
    return Object.values(value).reduce((sum: number, each) => sum + lengthIn(each), own);
  };
  const length = lengthIn(parts);
  if (length > MAX_EXPRESSIONS) {
    throw new UserError(
      `${where}: its regular expressions have ${length} characters; take the model's own tokenizer.json`,
    );
  }
}

class Expressions {
  readonly #all: LinearExpression[] = [];

  constructor(readonly where: string) {}

  compile(pattern: string): LinearExpression {
    const expression = new LinearExpression(pattern, this.where, this.#all);
    this.#all.push(expression);
    return expression;
  }
}

function exactNormalizer(json: Description, library: LibraryNormalizer, expressions: Expressions): Normalize {
  switch (json.type) {
    case "Sequence": {
      const steps = json.normalizers!.map((each, i) => exactNormalizer(each, library.normalizers![i]!, expressions));
      return (text) =>
        steps.reduce((result, step) => {
          const next = step(result);
          refuseGrowth(next, text);
          return next;
        }, text);
    }
    case "BertNormalizer":
      return (text) => bertNormalize(text, json);
    case "Lowercase":
      return lowercase;
    case "Strip":
      return (text) => strip(text, json);
    case "Precompiled": {
      const map = Charsmap.fromBase64(json.precompiled_charsmap ?? "");
      return (text) => map.apply(text);
    }
    case "Replace":
      return replacement(json, expressions);
    case "Prepend":
      return (text) => text && library.normalize(text);
    default:
      return (text) => library.normalize(text);
  }
}

function replacement({ pattern, content = "" }: Description, expressions: Expressions): Normalize {
  const { Regex: expression, String: plain } = pattern ?? {};
  if (expression !== undefined) {
    const linear = expressions.compile(expression);
    return (text) => text.replace(linear, content);
  }
  if (!plain)
    throw new UserError(
      `${expressions.where}: a normalizer replaces an empty text; take the model's own tokenizer.json`,
    );
  return (text) => replaceSpans(text, spansOf(text, plain), content);
}

function* spansOf(text: string, plain: string): Generator<readonly [start: number, end: number]> {
  for (let at = text.indexOf(plain); at >= 0; at = text.indexOf(plain, at + plain.length)) {
    yield [at, at + plain.length];
  }
}

/** Keeps the library's expression if it is a published one; others are replaced by linear-time ones. */
function limitExpression(
  json: Description,
  library: { pattern?: RegExp | LinearExpression },
  expressions: Expressions,
): void {
  const expression = json.pattern?.Regex;
  if (expression === undefined || KNOWN_EXPRESSIONS.has(expression)) return;
  library.pattern = expressions.compile(expression);
}

function correctDecoder(json: Description, library: LibraryDecoder, expressions: Expressions): void {
  for (const [i, each] of (json.decoders ?? []).entries()) correctDecoder(each, library.decoders![i]!, expressions);
  limitExpression(json, library, expressions);
  if (json.type === "Replace") {
    const replace = replacement(json, expressions);
    library.decode_chain = (tokens) => tokens.map(replace);
  }
  const { decoders } = library;
  if (json.type !== "Sequence" || !decoders) return;
  library.decode_chain = (tokens) => applySteps(decoders, tokens, (decoder, pieces) => decoder.decode_chain(pieces));
}

function applySteps<Step>(
  steps: readonly Step[],
  given: string[],
  apply: (step: Step, pieces: string[]) => string[],
): string[] {
  return steps.reduce((pieces, step) => {
    const next = apply(step, pieces);
    refuseGrowth({ length: lengthOf(next) }, { length: lengthOf(given) });
    return next;
  }, given);
}

const lengthOf = (pieces: readonly string[]): number => pieces.reduce((sum, { length }) => sum + length, 0);

function correctPreTokenizer(json: Description, library: LibraryPreTokenizer, expressions: Expressions): void {
  for (const [i, each] of (json.pretokenizers ?? []).entries())
    correctPreTokenizer(each, library.tokenizers![i]!, expressions);
  limitExpression(json, library, expressions);
  const { tokenizers } = library;
  if (json.type === "Sequence" && tokenizers) {
    library.pre_tokenize_text = (text, options) =>
      applySteps(tokenizers, [text], (tokenizer, pieces) => tokenizer.pre_tokenize(pieces, options));
  }
  // JavaScript's \s includes U+FEFF and excludes U+0085.
  if (json.type === "WhitespaceSplit") library.pre_tokenize_text = (text) => text.match(/\P{White_Space}+/gu) ?? [];
  // Rust's is_numeric includes digits of all scripts, and fractions.
  if (json.type === "Digits") library.pattern = json.individual_digits ? /\P{N}+|\p{N}/gu : /\P{N}+|\p{N}+/gu;
  if (json.type === "ByteLevel") {
    library.pattern =
      /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;
  }
}

const ideographs =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;

const PRINTABLE_ASCII = /^[ -~]*$/;

function bertNormalize(text: string, json: Description): string {
  if (PRINTABLE_ASCII.test(text)) return json.lowercase ? text.toLowerCase() : text;
  let result = text;
  if (json.clean_text) {
    result = result
      .replace(/[\0\ufffd]|(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}\p{Cs}]/gu, "")
      .replace(/\p{White_Space}/gu, " ");
  }
  if (json.handle_chinese_chars) result = result.replace(ideographs, " $& ");
  if (json.strip_accents ?? json.lowercase) result = result.normalize("NFD").replace(/\p{Mn}/gu, "");
  return json.lowercase ? lowercase(result) : result;
}

/** Lowercases each character separately, so that a final sigma stays as it is. */
function lowercase(text: string): string {
  if (PRINTABLE_ASCII.test(text)) return text.toLowerCase();
  return Array.from(text, (character) => character.toLowerCase()).join("");
}

function strip(text: string, json: Description): string {
  const left = json.strip_left ? text.replace(/^\p{White_Space}+/u, "") : text;
  return json.strip_right ? left.replace(/(?<!\p{White_Space})\p{White_Space}+$/u, "") : left;
}
