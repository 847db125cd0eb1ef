import type { Sliced } from "../../../runtime/slices.ts";
import type { ByteRange, Expression, Reference } from "./expressions.ts";
import { fewestBytesOf } from "./fewest-bytes.ts";
import { Words } from "./words.ts";

/** Number of bytes of texts that count as one expression. */
const BYTES_PER_PART = 32;
const SAMPLE = 40;

export class ByteGrammar {
  readonly #all: Expression[] = [];
  readonly #repeats = new Map<string, Expression>();
  readonly #characters = new Map<string, Expression>();
  readonly #places: { path: string; from: number; to: number }[] = [];
  /** By id; infinite if an expression never ends. */
  #fewest: Float64Array = new Float64Array();
  readonly #fewestFrom = new Map<number, Float64Array>();
  #parts = 0;

  constructor(
    private readonly most: number,
    private readonly tooLarge: () => Error,
  ) {}

  #add<Made extends Expression>(expression: Made, parts = 1): Made {
    this.#parts += parts;
    if (this.#parts > this.most) throw this.tooLarge();
    this.#all.push(expression);
    return expression;
  }

  get nextId(): number {
    return this.#all.length;
  }

  /** Names the place in the schema of the expressions that were made since a {@link nextId}. */
  setPlace(path: string, from: number): void {
    this.#places.push({ path, from, to: this.nextId });
  }

  placeOf(expressions: readonly Expression[]): string | undefined {
    const step = Math.ceil(expressions.length / SAMPLE);
    const some = expressions.filter((_, i) => i % step === 0);
    return this.#places.find(({ from, to }) => {
      const own = some.filter(({ id }) => id >= from && id < to);
      return own.length > some.length / 2;
    })?.path;
  }

  byte(...ranges: ByteRange[]): Expression {
    return this.#add({ kind: "byte", ranges, id: this.nextId });
  }

  oneOf(characters: string): Expression {
    return this.byte(...Array.from(characters, (each): ByteRange => [each.charCodeAt(0), each.charCodeAt(0)]));
  }

  literal(text: string): Expression {
    return this.words([text]);
  }

  words(texts: readonly string[]): Expression {
    if (texts.length === 0) return this.impossible;
    const words = new Words(texts);
    return this.#add({ kind: "words", words, id: this.nextId }, 1 + Math.floor(words.size / BYTES_PER_PART));
  }

  sequence(...parts: Expression[]): Expression {
    if (parts.length === 1) return parts[0]!;
    return this.#add({ kind: "sequence", parts, id: this.nextId }, 1 + parts.length);
  }

  choice(...parts: Expression[]): Expression {
    return this.choiceOf(parts);
  }

  /** One of several; nothing can be written if there are none. Combines the texts among them into one tree. */
  choiceOf(parts: readonly Expression[]): Expression {
    if (parts.length === 1) return parts[0]!;
    const words = parts.flatMap((part) => (part.kind === "words" ? [part.words] : []));
    if (words.length > 1) {
      const merged = this.words(words.flatMap(({ texts }) => texts));
      return this.choiceOf([...parts.filter(({ kind }) => kind !== "words"), merged]);
    }
    return this.#add({ kind: "choice", parts, id: this.nextId }, 1 + parts.length);
  }

  get nothing(): Expression {
    return this.sequence();
  }

  get impossible(): Expression {
    return this.choice();
  }

  optional(part: Expression): Expression {
    return this.repeat(part, 0, 1);
  }

  /** A part from `min` to `max` times; the same expression for the same arguments. */
  repeat(part: Expression, min: number, max = Number.POSITIVE_INFINITY): Expression {
    if (min > max) return this.impossible;
    const key = `${part.id}:${min}:${max}`;
    const known = this.#repeats.get(key);
    if (known) return known;
    const made = this.#add({ kind: "repeat", part, min, max, id: this.nextId });
    this.#repeats.set(key, made);
    return made;
  }

  /** One character between two, both included, whose UTF-8 has the same number of bytes, above ASCII. */
  character(from: number, to: number): Expression {
    const key = `${from}-${to}`;
    const made = this.#characters.get(key) ?? bytesBetween(this, encoded(from), encoded(to));
    this.#characters.set(key, made);
    return made;
  }

  mayBeEmpty(expression: Expression): boolean {
    switch (expression.kind) {
      case "byte":
      case "words":
        return false;
      case "sequence":
        return expression.parts.every((part) => this.mayBeEmpty(part));
      case "choice":
        return expression.parts.some((part) => this.mayBeEmpty(part));
      case "repeat":
        return expression.min === 0 || this.mayBeEmpty(expression.part);
      case "reference":
        return this.mayBeEmpty(expression.target!);
    }
  }

  /** An expression that is filled in later: a part may contain itself. */
  reference(): Reference {
    return this.#add({ kind: "reference", target: undefined, id: this.nextId });
  }

  /** Computes the fewest bytes of all expressions. The grammar must be complete and cannot grow afterwards. */
  *settle(): Sliced<void> {
    this.#fewest = yield* fewestBytesOf(this.#all);
  }

  /** Fewest bytes of an expression; infinite if it never ends. Call after {@link settle}. */
  fewestBytes({ id }: Expression): number {
    return this.#fewest[id]!;
  }

  fewestBytesFrom({ id, parts }: Expression & { kind: "sequence" }, at: number): number {
    let sums = this.#fewestFrom.get(id);
    if (!sums) {
      sums = new Float64Array(parts.length + 1);
      for (let i = parts.length - 1; i >= 0; i--) sums[i] = sums[i + 1]! + this.fewestBytes(parts[i]!);
      this.#fewestFrom.set(id, sums);
    }
    return sums[at]!;
  }
}

const ALL: readonly ByteRange[] = [
  [0, 0xd7ff],
  [0xe000, 0x10ffff],
];

/** Last characters of one, two, three and four bytes in UTF-8. */
const LENGTH_ENDS = [0x7f, 0x7ff, 0xffff, 0x10ffff];

export function* character(grammar: ByteGrammar, ranges: readonly ByteRange[]): Sliced<Expression> {
  const single: ByteRange[] = [];
  const longer: Expression[] = [];
  for (const [from, to] of ranges.flatMap(withoutSurrogates)) {
    yield;
    let start = from;
    for (const end of LENGTH_ENDS) {
      if (start > end || start > to) continue;
      const last = Math.min(to, end);
      if (end === 0x7f) single.push([start, last]);
      else longer.push(grammar.character(start, last));
      start = last + 1;
    }
  }
  return grammar.choiceOf([...(single.length > 0 ? [grammar.byte(...single)] : []), ...longer]);
}

const withoutSurrogates = ([from, to]: ByteRange): ByteRange[] =>
  ALL.map(([first, last]): ByteRange => [Math.max(from, first), Math.min(to, last)]).filter(([a, b]) => a <= b);

const encoder = new TextEncoder();
const encoded = (codePoint: number): number[] => [...encoder.encode(String.fromCodePoint(codePoint))];

/** Strings of bytes between two of the same length, where all but the first byte go from 0x80 to 0xBF. */
function bytesBetween(grammar: ByteGrammar, low: readonly number[], high: readonly number[]): Expression {
  const [first, last] = [low[0]!, high[0]!];
  const [lowRest, highRest] = [low.slice(1), high.slice(1)];
  if (lowRest.length === 0) return grammar.byte([first, last]);
  const least = lowRest.map(() => 0x80);
  const most = lowRest.map(() => 0xbf);
  const after = (from: number, to: number, a: readonly number[], b: readonly number[]): Expression[] =>
    from > to ? [] : [grammar.sequence(grammar.byte([from, to]), bytesBetween(grammar, a, b))];
  if (first === last) return grammar.choice(...after(first, last, lowRest, highRest));
  const lowWhole = lowRest.every((byte) => byte === 0x80);
  const highWhole = highRest.every((byte) => byte === 0xbf);
  return grammar.choice(
    ...(lowWhole ? [] : after(first, first, lowRest, most)),
    ...after(lowWhole ? first : first + 1, highWhole ? last : last - 1, least, most),
    ...(highWhole ? [] : after(last, last, least, highRest)),
  );
}

export function complement(ranges: readonly ByteRange[]): ByteRange[] {
  const left: ByteRange[] = [];
  let start = 0;
  for (const [from, to] of [...ranges].sort((a, b) => a[0] - b[0])) {
    if (from > start) left.push([start, from - 1]);
    start = Math.max(start, to + 1);
  }
  return start > 0x10ffff ? left : [...left, [start, 0x10ffff]];
}
