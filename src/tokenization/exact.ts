import { Charsmap } from "./charsmap.ts";

/** A normalizer or pre-tokenizer as `tokenizer.json` describes it. */
interface Description {
  type: string;
  normalizers?: Description[];
  pretokenizers?: Description[];
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

/** What the library made of a description. */
interface LibraryNormalizer {
  normalize: Normalize;
  normalizers?: LibraryNormalizer[];
}
interface LibraryPreTokenizer {
  pre_tokenize_text(text: string): string[];
  pattern?: RegExp;
  tokenizers?: LibraryPreTokenizer[];
}

/** The parts of a `Tokenizer` of @huggingface/tokenizers that are corrected. */
export interface LibraryTokenizer {
  normalizer: Normalize | (Normalize & LibraryNormalizer) | null;
  pre_tokenizer: LibraryPreTokenizer | null;
}

/**
 * Makes a tokenizer of @huggingface/tokenizers give the ids that Hugging Face's own tokenizers library gives, where the
 * two differ: ideographs beyond the basic plane, a final sigma, what counts as white space, and SentencePiece's
 * normalisation, which the JavaScript library only approximates.
 * @param json the `tokenizer.json` that the tokenizer was made from.
 */
export function makeExact(
  tokenizer: LibraryTokenizer,
  json: { normalizer?: object | null; pre_tokenizer?: object | null },
): void {
  if (json.normalizer) {
    tokenizer.normalizer = exactNormalizer(json.normalizer as Description, tokenizer.normalizer as LibraryNormalizer);
  }
  if (json.pre_tokenizer) correctPreTokenizer(json.pre_tokenizer as Description, tokenizer.pre_tokenizer!);
}

function exactNormalizer(json: Description, library: LibraryNormalizer): Normalize {
  switch (json.type) {
    case "Sequence": {
      const steps = json.normalizers!.map((each, i) => exactNormalizer(each, library.normalizers![i]!));
      return (text) => steps.reduce((result, step) => step(result), text);
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
    default:
      return (text) => library.normalize(text);
  }
}

function correctPreTokenizer(json: Description, library: LibraryPreTokenizer): void {
  for (const [i, each] of (json.pretokenizers ?? []).entries()) correctPreTokenizer(each, library.tokenizers![i]!);
  // JavaScript's \s counts U+FEFF as white space and leaves out U+0085.
  if (json.type === "WhitespaceSplit") library.pre_tokenize_text = (text) => text.match(/\P{White_Space}+/gu) ?? [];
  // Digits of any script, and fractions, as Rust's is_numeric counts them.
  if (json.type === "Digits") library.pattern = json.individual_digits ? /\P{N}+|\p{N}/gu : /\P{N}+|\p{N}+/gu;
  if (json.type === "ByteLevel") {
    library.pattern =
      /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;
  }
}

const ideographs =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;

function bertNormalize(text: string, json: Description): string {
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

/** Each character by itself, so that a final sigma stays as it is. */
function lowercase(text: string): string {
  return Array.from(text, (character) => character.toLowerCase()).join("");
}

function strip(text: string, json: Description): string {
  const left = json.strip_left ? text.replace(/^\p{White_Space}+/u, "") : text;
  return json.strip_right ? left.replace(/(?<!\p{White_Space})\p{White_Space}+$/u, "") : left;
}
