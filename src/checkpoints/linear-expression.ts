import { type Matcher, RE2JS } from "re2js";
import { UserError } from "../errors.ts";

/** Upper limit on an expression's length in characters; the longest known tokenizer's has 500. */
const MAX_PATTERN = 4096;
/** Upper limit on instructions of a file's compiled expressions; tokenizers have up to five, of up to 200 each. */
const MAX_PROGRAM = 5000;
/** Upper limit on instructions times characters of one search; its worst case takes some seconds. */
const MAX_SEARCH = 2e9;
/** Upper limit on the time of all searches in one text, in milliseconds. */
const MAX_TIME = 4000;

/** Unicode's white space; RE2's \s is ASCII only. */
const SPACE = "\\t-\\r \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";
const NOT_SPACE =
  "\\x{0}-\\x{8}\\x{e}-\\x{1f}!-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}";
const WORD_CHARACTERS = "\\p{L}\\p{M}\\p{Nd}\\p{Pc}";

/** Oniguruma's character classes in RE2's syntax, as they appear within brackets. */
const CLASSES: Readonly<Record<string, string>> = {
  s: SPACE,
  S: NOT_SPACE,
  d: "\\p{Nd}",
  D: "\\P{Nd}",
  w: WORD_CHARACTERS,
  h: "0-9A-Fa-f",
};

/** Suffix by which tokenizers leave the last space to the following word. RE2 has no look-ahead. */
const SPACES_BEFORE_WORD = /\|\\s\+\(\?!\\S\)\|\\s\+$/;

/**
 * An untrusted regular expression whose searches take linear time (RE2, github.com/google/re2), so that none hangs. It
 * can replace a `RegExp` with the flags "gu" in `text.match(it)`, `matchAll`, `replaceAll` and `split`.
 *
 * It supports the syntax of Oniguruma and Python that RE2 knows, and the suffix `|\s+(?!\S)|\s+` of byte-level
 * tokenizers; no other lookaround, and no backreferences.
 */
export class LinearExpression {
  readonly flags = "gu";
  readonly #expression: RE2JS;
  readonly #keepsLastSpace: boolean;
  readonly #where: string;

  /**
   * @param where location of the pattern, for error messages
   * @param others expressions of the same file, whose sizes add up
   * @throws UserError if it is not an expression, or not one that RE2 supports.
   */
  constructor(pattern: string, where: string, others: Iterable<LinearExpression> = []) {
    this.#where = `${where}: the regular expression ${shortened(pattern)}`;
    this.#keepsLastSpace = SPACES_BEFORE_WORD.test(pattern);
    if (pattern.length > MAX_PATTERN) throw this.#refused(`it has ${pattern.length} characters`);
    // RE2 expands repeats before its program can be measured.
    if (expandedSize(pattern) > 4 * MAX_PROGRAM) throw this.#refused("it is too large");
    try {
      this.#expression = RE2JS.compile(
        toRe2(pattern.replace(SPACES_BEFORE_WORD, () => "|(?P<spaces>\\s+)")),
        RE2JS.MULTILINE,
      );
    } catch (error) {
      throw this.#refused(error instanceof Error ? error.message : String(error));
    }
    const size = Array.from(others).reduce((sum, other) => sum + other.#size, this.#size);
    if (size > MAX_PROGRAM) throw this.#refused("it is too large");
  }

  get #size(): number {
    return this.#expression.programSize();
  }

  #refused(why: string): UserError {
    return new UserError(
      `${this.#where} is refused: ${why}; only expressions that take time linear in the text are matched`,
    );
  }

  /** Whether it matches anywhere. @throws UserError if the text is too long for it. */
  test(text: string): boolean {
    return this.#matcher(text).find();
  }

  #matcher(text: string): Matcher {
    if (this.#size * text.length > MAX_SEARCH) {
      throw this.#refused(`it is too large for a text of ${text.length} characters`);
    }
    return this.#expression.matcher(text);
  }

  /** Yields its matches as `[start, end)` in UTF-16 units; alternatives are tried from left to right. */
  *#spans(text: string): Generator<readonly [start: number, end: number]> {
    const matcher = this.#matcher(text);
    const deadline = performance.now() + MAX_TIME;
    for (let at = 0; at <= text.length && matcher.find(at); ) {
      const start = matcher.start();
      let end = matcher.end();
      const more = end < text.length && end - start > 1;
      if (this.#keepsLastSpace && more && matcher.start("spaces") >= 0) end--;
      yield [start, end];
      at = end > start ? end : end + (text.codePointAt(end)! > 0xffff ? 2 : 1);
      if (performance.now() > deadline) throw this.#refused(`it takes too long on a text of ${text.length} characters`);
    }
  }

  [Symbol.match](text: string): RegExpMatchArray | null {
    const [first, ...others] = Array.from(this.#spans(text), ([start, end]) => text.slice(start, end));
    return first === undefined ? null : [first, ...others];
  }

  *[Symbol.matchAll](text: string): RegExpStringIterator<RegExpExecArray> {
    for (const [start, end] of this.#spans(text)) {
      const match: [string] = [text.slice(start, end)];
      yield Object.assign(match, { index: start, input: text });
    }
  }

  /** @param content literal text; `$` has no meaning */
  [Symbol.replace](text: string, content: string): string {
    return replaceSpans(text, this.#spans(text), content);
  }

  [Symbol.split](text: string): string[] {
    const parts: string[] = [];
    let from = 0;
    for (const [start, end] of this.#spans(text)) {
      if (end === start) continue;
      parts.push(text.slice(from, start));
      from = end;
    }
    return [...parts, text.slice(from)];
  }
}

/** Replaces spans of a text by `content`. @throws UserError if the text grows excessively. */
export function replaceSpans(
  text: string,
  spans: Iterable<readonly [start: number, end: number]>,
  content: string,
): string {
  let result = "";
  let from = 0;
  for (const [start, end] of spans) {
    result += text.slice(from, start) + content;
    from = end;
    refuseGrowth(result, text);
  }
  return result + text.slice(from);
}

/** Upper limit on characters that one character becomes; Unicode's widest ligature becomes 18. */
const MAX_GROWTH = 32;

/** @throws UserError if a result is longer than any language's normalisation makes it. */
export function refuseGrowth(result: { length: number }, text: { length: number }): void {
  if (result.length <= MAX_GROWTH * text.length + 2 ** 15) return;
  throw new UserError(
    `the tokenizer turns a text of ${text.length} characters into ${result.length}; it is damaged or hostile: take the model's own tokenizer.json`,
  );
}

/**
 * Converts Oniguruma's character classes to RE2's syntax. Everything else is the same in both, or RE2 rejects it.
 * @throws Error if RE2 has no equivalent.
 */
function toRe2(pattern: string): string {
  if (/(?<!\\)\[\^?\]/.test(pattern)) throw new Error("it has an empty class of characters");
  let depth = 0;
  return pattern.replace(/\\u([0-9a-fA-F]{4})|\\([\s\S])|[[\]]/g, (part, hex?: string, escaped?: string) => {
    if (hex !== undefined) return `\\x{${hex}}`;
    if (escaped === undefined) {
      if (part === "]") depth = 0;
      // Only Oniguruma nests classes.
      else if (depth++ > 0) throw new Error("it has a class of characters within another");
      return part;
    }
    if (escaped === "W" || escaped === "H") {
      if (depth > 0) throw new Error(`it has \\${escaped} within a class of characters`);
      return `[^${CLASSES[escaped.toLowerCase()]}]`;
    }
    // RE2's \b and \B are ASCII only.
    if (escaped === "b" || escaped === "B") throw new Error(`it looks around (\\${escaped})`);
    const known = CLASSES[escaped];
    return known === undefined ? part : depth > 0 ? known : `[${known}]`;
  });
}

/** Estimates the size of an expression with all repeats expanded. */
function expandedSize(pattern: string): number {
  const open = [0];
  let last = 0;
  for (const [part, least, most] of pattern.matchAll(/\\[\s\S]|\[(?:\\.|[^\]\\])*\]|\{(\d+),?(\d*)\}|[\s\S]/g)) {
    if (part === "(") open.push(0);
    else {
      const before = least !== undefined ? last : 0;
      if (part === ")" && open.length > 1) last = open.pop()!;
      else last = least !== undefined ? last * Math.max(Number(least), Number(most)) : 1;
      open[open.length - 1]! += last - before;
    }
  }
  return open.reduce((sum, size) => sum + size, 0);
}

const shortened = (pattern: string): string => (pattern.length > 60 ? `${pattern.slice(0, 60)}…` : pattern);
