import type { Sliced } from "../../../runtime/slices.ts";
import { type ByteGrammar, character, complement } from "./byte-grammar.ts";
import type { ByteRange, Expression } from "./expressions.ts";
import { refused } from "./schema-values.ts";

const DAY = "(0[1-9]|1[0-9]|2[0-8])";
const DATE = `[0-9]{4}-(02-${DAY}|(0[13-9]|1[0-2])-(${DAY}|29|30)|(0[13578]|1[02])-31)`;
const TIME = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])";
const HEX = "[0-9a-f]";
const LABEL = "[a-z0-9]+(-[a-z0-9]+)*";

/** Patterns of formats. They cover some or all valid texts. */
export const PATTERN_OF_FORMAT: Readonly<Record<string, string>> = {
  date: `^${DATE}$`,
  time: `^${TIME}$`,
  "date-time": `^${DATE}T${TIME}$`,
  uuid: `^${HEX}{8}-${HEX}{4}-${HEX}{4}-${HEX}{4}-${HEX}{12}$`,
  email: `^[a-z0-9]+([._-][a-z0-9]+)*@(${LABEL}\\.)+[a-z]{2,8}$`,
  ipv4: "^((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\\.){3}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])$",
  uri: `^https?://(${LABEL}\\.)+[a-z]{2,8}(/[A-Za-z0-9._~-]*)*$`,
};

const MOST_TURNS = 1000;
const DEEPEST = 32;
const LONGEST = 10_000;

const DIGIT: readonly ByteRange[] = [[0x30, 0x39]];
const WORD: readonly ByteRange[] = [...DIGIT, [0x41, 0x5a], [0x5f, 0x5f], [0x61, 0x7a]];
const SPACE: readonly ByteRange[] = [
  ...([
    [0x09, 0x0d],
    [0x20, 0x20],
    [0xa0, 0xa0],
    [0x1680, 0x1680],
    [0x2000, 0x200a],
  ] as const),
  ...([
    [0x2028, 0x2029],
    [0x202f, 0x202f],
    [0x205f, 0x205f],
    [0x3000, 0x3000],
    [0xfeff, 0xfeff],
  ] as const),
];
const LINE_ENDS: readonly ByteRange[] = [
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
];

const CLASSES: Readonly<Record<string, readonly ByteRange[]>> = {
  d: DIGIT,
  D: complement(DIGIT),
  w: WORD,
  W: complement(WORD),
  s: SPACE,
  S: complement(SPACE),
};
const CONTROLS: Readonly<Record<string, string>> = { t: "\t", n: "\n", r: "\r", f: "\f", v: "\v", 0: "\0" };

/**
 * Converts a JavaScript regular expression to the characters within a JSON string that match it: characters, classes, groups,
 * alternatives
 * and repeats; `^` and `$` at the beginning and the end of an alternative.
 * Pauses after each part.
 */
export function* ofPattern(grammar: ByteGrammar, pattern: string, path: string): Sliced<Expression> {
  if (pattern.length > LONGEST) {
    throw refused(path, `has ${pattern.length} characters, and may have ${LONGEST}; make it shorter`);
  }
  try {
    new RegExp(pattern, "u");
  } catch (error) {
    throw refused(path, `is no regular expression: ${(error as Error).message.slice(0, 200)}`);
  }
  return yield* new PatternReader(grammar, Array.from(pattern), path).alternatives(0);
}

class PatternReader {
  #at = 0;

  constructor(
    private readonly grammar: ByteGrammar,
    private readonly pattern: readonly string[],
    private readonly path: string,
  ) {}

  #unsupported(what: string): Error {
    return refused(this.path, `has ${what}, which is not supported; write the pattern without`);
  }

  get #next(): string | undefined {
    return this.pattern[this.#at];
  }

  #took(sign: string): boolean {
    if (this.#next !== sign) return false;
    this.#at++;
    return true;
  }

  *alternatives(depth: number): Sliced<Expression> {
    if (depth > DEEPEST) throw this.#unsupported("deeply nested groups");
    const all = [yield* this.#alternative(depth)];
    while (this.#took("|")) all.push(yield* this.#alternative(depth));
    return this.grammar.choice(...all);
  }

  /** Without `^` or `$` at the whole pattern's beginning or end, any text may be there. */
  *#alternative(depth: number): Sliced<Expression> {
    const parts: Expression[] = [];
    if (depth === 0 && !this.#took("^")) parts.push(yield* this.#anything());
    let open = depth === 0;
    while (this.#next !== undefined && this.#next !== "|" && this.#next !== ")") {
      yield;
      if (depth === 0 && this.#next === "$" && [undefined, "|"].includes(this.pattern[this.#at + 1])) {
        this.#at++;
        open = false;
      } else parts.push(this.#repeated(yield* this.#atom(depth)));
    }
    if (open) parts.push(yield* this.#anything());
    return this.grammar.sequence(...parts);
  }

  *#anything(): Sliced<Expression> {
    return this.grammar.repeat(yield* this.#written([[0, 0x10ffff]]), 0);
  }

  *#atom(depth: number): Sliced<Expression> {
    const sign = this.#next!;
    if (sign === "(") return yield* this.#group(depth);
    if (sign === "^" || sign === "$") throw this.#unsupported(`"${sign}" within it`);
    this.#at++;
    if (sign === ".") return yield* this.#written(complement(LINE_ENDS));
    if (sign === "[") return yield* this.#written(this.#class());
    if (sign === "\\") return yield* this.#written(this.#escape());
    return yield* this.#written(one(sign));
  }

  *#group(depth: number): Sliced<Expression> {
    this.#at++;
    if (this.#took("?")) {
      const named = this.#took("<");
      if (named && !["=", "!"].includes(this.#next!)) while (!this.#took(">")) this.#at++;
      else if (named || !this.#took(":")) throw this.#unsupported("a group that looks around");
    }
    const inner = yield* this.alternatives(depth + 1);
    this.#at++;
    return inner;
  }

  #repeated(atom: Expression): Expression {
    const [min, max] = this.#turns();
    // Greedy and lazy quantifiers match the same texts.
    if (min !== 1 || max !== 1) this.#took("?");
    const counted = max > 1 && max !== Number.POSITIVE_INFINITY;
    if (counted && this.grammar.mayBeEmpty(atom)) throw this.#unsupported("a counted part that may be empty");
    return min === 1 && max === 1 ? atom : this.grammar.repeat(atom, min, max);
  }

  #turns(): [min: number, max: number] {
    if (this.#took("*")) return [0, Number.POSITIVE_INFINITY];
    if (this.#took("+")) return [1, Number.POSITIVE_INFINITY];
    if (this.#took("?")) return [0, 1];
    if (!this.#took("{")) return [1, 1];
    const end = this.pattern.indexOf("}", this.#at);
    const [min, max = min] = this.pattern.slice(this.#at, end).join("").split(",") as [string, string?];
    this.#at = end + 1;
    const turns: [number, number] = [Number(min), max === "" ? Number.POSITIVE_INFINITY : Number(max)];
    if (turns.some((each) => each > MOST_TURNS && each !== Number.POSITIVE_INFINITY)) {
      throw this.#unsupported(`a repeat of more than ${MOST_TURNS} turns`);
    }
    return turns;
  }

  /** Behind `[`. */
  #class(): ByteRange[] {
    const not = this.#took("^");
    const ranges: ByteRange[] = [];
    while (!this.#took("]")) {
      const from = this.#member();
      const isRange = this.#next === "-" && this.pattern[this.#at + 1] !== "]";
      if (!isRange || from.length !== 1 || from[0]![0] !== from[0]![1]) {
        ranges.push(...from);
        continue;
      }
      this.#at++;
      ranges.push([from[0]![0], this.#member()[0]![1]]);
    }
    const outside = complement(ranges);
    return not ? outside : complement(outside);
  }

  #member(): readonly ByteRange[] {
    const sign = this.pattern[this.#at++]!;
    if (sign !== "\\") return one(sign);
    return this.#took("b") ? one("\b") : this.#escape();
  }

  #escape(): readonly ByteRange[] {
    const sign = this.pattern[this.#at++]!;
    if (Object.hasOwn(CLASSES, sign)) return CLASSES[sign]!;
    if (Object.hasOwn(CONTROLS, sign)) return one(CONTROLS[sign]!);
    if (sign === "x") return this.#code(2);
    if (sign === "u" && this.#next !== "{") return this.#code(4);
    if (/[A-Za-z0-9]/.test(sign)) throw this.#unsupported(`"\\${sign}"`);
    return one(sign);
  }

  #code(digits: number): readonly ByteRange[] {
    const code = Number.parseInt(this.pattern.slice(this.#at, this.#at + digits).join(""), 16);
    this.#at += digits;
    return [[code, code]];
  }

  *#written(ranges: readonly ByteRange[]): Sliced<Expression> {
    const grammar = this.grammar;
    const has = (code: number): boolean => ranges.some(([from, to]) => code >= from && code <= to);
    const escaped = [...Array(0x20).keys(), 0x22, 0x5c].filter(has);
    const written = escaped.map((code) => grammar.literal(JSON.stringify(String.fromCharCode(code)).slice(1, -1)));
    yield;
    const plain = complement([...complement(ranges), [0, 0x1f], [0x22, 0x22], [0x5c, 0x5c]]);
    return grammar.choice(...(plain.length > 0 ? [yield* character(grammar, plain)] : []), ...written);
  }
}

const one = (sign: string): ByteRange[] => [[sign.codePointAt(0)!, sign.codePointAt(0)!]];
