/** Bytes from one to another, both included. */
export type ByteRange = readonly [from: number, to: number];

type Reference = { readonly kind: "reference"; target: Expression | undefined };
type Shape =
  | { readonly kind: "byte"; readonly ranges: readonly ByteRange[] }
  | { readonly kind: "sequence" | "choice"; readonly parts: readonly Expression[] }
  | { readonly kind: "repeat"; readonly part: Expression; readonly min: number; readonly max: number }
  | Reference;

/** What a text is made of: a grammar over bytes, whose parts may hold themselves. */
export type Expression = Shape & { readonly id: number };

const encoder = new TextEncoder();

/** Makes the expressions of one grammar, and knows the fewest bytes that each writes. */
export class ByteGrammar {
  readonly #all: Expression[] = [];
  /** Expressions of one byte alone, by byte. */
  readonly #single: Expression[] = [];
  readonly #repeats = new Map<string, Expression>();
  /** By id; infinite where an expression never ends. */
  #fewest: number[] | undefined;
  readonly #tooLarge: () => Error;
  readonly #most: number;
  #parts = 0;

  /**
   * @param most expressions, and parts of all of them
   * @param tooLarge what is thrown where there are more
   */
  constructor(most: number, tooLarge: () => Error) {
    this.#most = most;
    this.#tooLarge = tooLarge;
  }

  #add<Made extends Shape>(shape: Made): Made & { readonly id: number } {
    this.#parts += "parts" in shape ? 1 + shape.parts.length : 1;
    if (this.#parts > this.#most) throw this.#tooLarge();
    const expression = { ...shape, id: this.#all.length };
    this.#all.push(expression);
    return expression;
  }

  /** One byte of some. */
  byte(...ranges: ByteRange[]): Expression {
    return this.#add({ kind: "byte", ranges });
  }

  /** One ASCII character of those given. */
  oneOf(characters: string): Expression {
    return this.byte(...Array.from(characters, (each): ByteRange => [each.charCodeAt(0), each.charCodeAt(0)]));
  }

  /** A text as it stands, in UTF-8. */
  literal(text: string): Expression {
    const parts = Array.from(encoder.encode(text), (byte) => (this.#single[byte] ??= this.byte([byte, byte])));
    return this.#add({ kind: "sequence", parts });
  }

  sequence(...parts: Expression[]): Expression {
    return parts.length === 1 ? parts[0]! : this.#add({ kind: "sequence", parts });
  }

  /** One of several; of none nothing can be written. */
  choice(...parts: Expression[]): Expression {
    return parts.length === 1 ? parts[0]! : this.#add({ kind: "choice", parts });
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
    const key = `${part.id}:${min}:${max}`;
    const known = this.#repeats.get(key);
    if (known) return known;
    // Repeats with fewer turns left are made while texts are written, and known apart from what a schema may hold.
    const made: Expression = { kind: "repeat", part, min, max, id: this.#all.length };
    this.#all.push(made);
    if (this.#fewest) this.#fewest[made.id] = this.#fewestOf(made, this.#fewest);
    this.#repeats.set(key, made);
    return made;
  }

  /** Whether an expression may write nothing; one that holds no reference that is not filled in yet. */
  mayBeEmpty(expression: Expression): boolean {
    switch (expression.kind) {
      case "byte":
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

  /** What is filled in later: a part may stand within itself. */
  reference(): Expression & Reference {
    return this.#add<Reference>({ kind: "reference", target: undefined });
  }

  /** The fewest bytes that an expression writes; infinite where it never ends. The grammar must be whole by now. */
  fewestBytes({ id }: Expression): number {
    this.#fewest ??= this.#settle();
    return this.#fewest[id]!;
  }

  /** Parts mostly stand before what holds them: a few rounds settle all, those within themselves too. */
  #settle(): number[] {
    const fewest = this.#all.map(() => Number.POSITIVE_INFINITY);
    for (let changed = true; changed; ) {
      changed = false;
      for (const expression of this.#all) {
        const found = this.#fewestOf(expression, fewest);
        if (found < fewest[expression.id]!) {
          fewest[expression.id] = found;
          changed = true;
        }
      }
    }
    return fewest;
  }

  #fewestOf(expression: Expression, fewest: readonly number[]): number {
    switch (expression.kind) {
      case "byte":
        return 1;
      case "sequence":
        return expression.parts.reduce((sum, { id }) => sum + fewest[id]!, 0);
      case "choice":
        return expression.parts.reduce((least, { id }) => Math.min(least, fewest[id]!), Number.POSITIVE_INFINITY);
      case "repeat":
        return expression.min === 0 ? 0 : expression.min * fewest[expression.part.id]!;
      case "reference":
        return fewest[expression.target!.id]!;
    }
  }
}

/** Unicode's characters, those that stand for halves of others left out. */
const ALL: readonly ByteRange[] = [
  [0, 0xd7ff],
  [0xe000, 0x10ffff],
];

/** Last characters of one, two, three and four bytes in UTF-8. */
const LENGTH_ENDS = [0x7f, 0x7ff, 0xffff, 0x10ffff];

/**
 * One character of some, in UTF-8.
 * @param ranges of code points, in order, apart from each other
 */
export function character(grammar: ByteGrammar, ranges: readonly ByteRange[]): Expression {
  const single: ByteRange[] = [];
  const longer: Expression[] = [];
  for (const [from, to] of ranges.flatMap(withoutSurrogates)) {
    let start = from;
    for (const end of LENGTH_ENDS) {
      if (start > end || start > to) continue;
      const last = Math.min(to, end);
      if (end === 0x7f) single.push([start, last]);
      else longer.push(bytesBetween(grammar, encoded(start), encoded(last)));
      start = last + 1;
    }
  }
  return grammar.choice(...(single.length > 0 ? [grammar.byte(...single)] : []), ...longer);
}

const withoutSurrogates = ([from, to]: ByteRange): ByteRange[] =>
  ALL.map(([first, last]): ByteRange => [Math.max(from, first), Math.min(to, last)]).filter(([a, b]) => a <= b);

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

/** Characters that are in none of some ranges. */
export function complement(ranges: readonly ByteRange[]): ByteRange[] {
  const left: ByteRange[] = [];
  let start = 0;
  for (const [from, to] of [...ranges].sort((a, b) => a[0] - b[0])) {
    if (from > start) left.push([start, from - 1]);
    start = Math.max(start, to + 1);
  }
  return start > 0x10ffff ? left : [...left, [start, 0x10ffff]];
}
