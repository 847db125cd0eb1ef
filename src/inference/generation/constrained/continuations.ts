import type { Sliced } from "../../../runtime/slices.ts";
import type { ByteGrammar } from "./byte-grammar.ts";
import type { Expression } from "./expressions.ts";
import type { Steps } from "./steps.ts";

/** The rest of an expression, and what follows it. */
export interface Continuation {
  readonly id: number;
  readonly expression: Expression;
  /** Number of written parts of a sequence, or bytes of words. */
  readonly at: number;
  /** For a repeat, the minimum and maximum number of remaining turns. For words, the rows that begin with the written bytes. */
  readonly low: number;
  readonly high: number;
  /** Undefined only at the end of the text. */
  readonly next: Continuation | undefined;
  readonly fewest: number;
  begins?: Beginnings | undefined;
  near?: Continuation | undefined;
  outline?: string | undefined;
}

export interface Arc {
  readonly from: number;
  readonly to: number;
  readonly target: Continuation;
}

export interface Beginnings {
  readonly arcs: readonly Arc[];
  readonly ends: boolean;
}

const CONTINUATION_BYTES = 250;
const ARC_BYTES = 60;
const ROWS_A_STEP = 16;
/** Number of steps that opening a continuation counts as: it takes that many times longer than a step through the vocabulary. */
const STEPS_TO_OPEN = 10;
const PARTS_AT_ONCE = 1000;

export class Continuations {
  readonly #end: Continuation;
  #known = new Map<string, Continuation>();
  #count = 0;
  bytes = 0;

  constructor(
    private readonly grammar: ByteGrammar,
    private readonly reach: number,
    private readonly steps: Steps,
  ) {
    this.#end = { id: this.#count++, expression: grammar.nothing, at: 0, low: 0, high: 0, next: undefined, fewest: 0 };
    this.#end.begins = { arcs: [], ends: true };
    this.#end.near = this.#end;
    this.#end.outline = "";
  }

  forget(): void {
    for (const each of this.#known.values()) {
      each.begins = undefined;
      each.near = undefined;
    }
    this.#known = new Map();
    this.bytes = 0;
  }

  whole(expression: Expression): Continuation {
    return this.#before(expression, this.#end);
  }

  #before(expression: Expression, next: Continuation): Continuation {
    switch (expression.kind) {
      case "words":
        return this.#make(expression, 0, 0, expression.words.texts.length, next);
      case "repeat":
        return this.#make(expression, 0, expression.min, expression.max, next);
      default:
        return this.#make(expression, 0, 0, 0, next);
    }
  }

  #make(expression: Expression, at: number, low: number, high: number, next: Continuation): Continuation {
    const key = `${expression.id},${at},${low},${high},${next.id}`;
    const known = this.#known.get(key);
    if (known) return known;
    const fewest = this.#fewestOf(expression, at, low, high) + next.fewest;
    const made = { id: this.#count++, expression, at, low, high, next, fewest };
    this.#known.set(key, made);
    this.bytes += CONTINUATION_BYTES;
    return made;
  }

  #fewestOf(expression: Expression, at: number, low: number, high: number): number {
    switch (expression.kind) {
      case "words":
        this.steps.count += Math.ceil((high - low) / ROWS_A_STEP);
        return expression.words.shortest(low, high) - at;
      case "sequence":
        return this.grammar.fewestBytesFrom(expression, at);
      case "repeat":
        return low === 0 ? 0 : low * this.grammar.fewestBytes(expression.part);
      default:
        return this.grammar.fewestBytes(expression);
    }
  }

  *open(continuation: Continuation): Sliced<Beginnings> {
    const arcs: Arc[] = [];
    const seen = new Set<Continuation>();
    let ends = false;
    const open = [continuation];
    for (let each = open.pop(); each; each = open.pop()) {
      // A part that contains itself at its beginning adds nothing.
      if (seen.has(each) || each.fewest === Number.POSITIVE_INFINITY) continue;
      seen.add(each);
      this.steps.count += STEPS_TO_OPEN;
      if (this.steps.isDue()) yield;
      const { expression, next } = each;
      if (!next) ends = true;
      else if (expression.kind === "byte") {
        for (const [from, to] of expression.ranges) arcs.push({ from, to, target: next });
      } else if (expression.kind === "words") this.#divide(each, expression, next, arcs, open);
      else if (expression.kind === "choice") {
        for (const [i, part] of expression.parts.entries()) {
          open.push(this.#before(part, next));
          if (i % PARTS_AT_ONCE === PARTS_AT_ONCE - 1) yield;
        }
      } else open.push(...this.#opened(each, expression, next));
    }
    this.steps.count += arcs.length;
    this.bytes += arcs.length * ARC_BYTES;
    continuation.begins = { arcs, ends };
    return continuation.begins;
  }

  #divide(
    { at, low, high }: Continuation,
    expression: Expression & { kind: "words" },
    next: Continuation,
    arcs: Arc[],
    open: Continuation[],
  ): void {
    this.steps.count += Math.ceil((high - low) / ROWS_A_STEP);
    const { branches, ends } = expression.words.divide(low, high, at);
    if (ends) open.push(next);
    for (const { byte, ...rows } of branches) {
      arcs.push({ from: byte, to: byte, target: this.#make(expression, at + 1, rows.low, rows.high, next) });
    }
  }

  #opened(
    { at, low, high }: Continuation,
    expression: Exclude<Expression, { kind: "byte" | "words" | "choice" }>,
    next: Continuation,
  ): Continuation[] {
    switch (expression.kind) {
      case "sequence": {
        const { parts } = expression;
        if (at >= parts.length) return [next];
        const rest = at + 1 === parts.length ? next : this.#make(expression, at + 1, 0, 0, next);
        return [this.#before(parts[at]!, rest)];
      }
      case "reference":
        return [this.#before(expression.target!, next)];
      case "repeat": {
        const stops = low === 0 ? [next] : [];
        if (high === 0) return stops;
        const left = high === 1 ? next : this.#make(expression, 0, Math.max(0, low - 1), high - 1, next);
        return [this.#before(expression.part, left), ...stops];
      }
    }
  }

  /** The same continuation as far as one token can distinguish: counts far from their maximum become unlimited. */
  near(continuation: Continuation): Continuation {
    const frames: Continuation[] = [];
    let known: Continuation = continuation;
    while (!known.near) {
      frames.push(known);
      known = known.next!;
    }
    let near: Continuation = known.near;
    for (const frame of frames.toReversed()) {
      const { expression, at, low, high } = frame;
      const isFar = expression.kind === "repeat" && high > this.reach;
      near = this.#make(expression, at, low, isFar ? Number.POSITIVE_INFINITY : high, near);
      frame.near = near;
      near.near = near;
      this.steps.count++;
    }
    return near;
  }

  /**
   * A text that two continuations share if one token cannot distinguish them: what must be written before its reach, with counts
   * beyond it left out. The one with the fewest bytes then stays so.
   */
  outline(continuation: Continuation): string {
    if (continuation.outline !== undefined) return continuation.outline;
    const parts: string[] = [];
    let reached = 0;
    for (let each = continuation; each.next && reached <= this.reach; each = each.next) {
      const { expression, at, low, high, next, fewest } = each;
      const isFar = expression.kind === "repeat" && low > this.reach;
      parts.push(isFar ? `${expression.id}` : `${expression.id},${at},${low},${high}`);
      reached += fewest - next.fewest;
      this.steps.count++;
    }
    continuation.outline = parts.join(" ");
    this.bytes += continuation.outline.length;
    return continuation.outline;
  }
}
