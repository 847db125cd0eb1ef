import type { ByteGrammar } from "./byte-grammar.ts";
import { type Arc, type Continuation, Continuations } from "./continuations.ts";
import type { Expression } from "./expressions.ts";

/** Where in the grammar a text has come to: all that may be still to come. */
export interface State {
  /** Those with the fewest bytes first. */
  readonly continuations: readonly Continuation[];
  /** By byte; null if no text goes on so, absent if nobody asked. */
  steps: (State | null | undefined)[];
  /** Another state whose continuations have the same hash. */
  readonly other: State | undefined;
  /** The same state as far as one token can tell it apart. */
  near?: State | undefined;
}

/** Ways to read one text, at most. A step takes each of them on: in a bounded time. */
const MOST_CONTINUATIONS = 20_000;
/** Bytes of memory of a state, and for each of its continuations, roughly. */
const STATE_BYTES = 1500;
const CONTINUATION_BYTES = 8;

/**
 * Reads texts of a grammar byte by byte. States are made when a text comes to them, so that nesting has no bound and counts cost
 * nothing: a state is a set of partial derivatives (Antimirov, 1996), each a stack of expressions.
 */
export class ByteAutomaton {
  readonly #root: Expression;
  readonly #continuations: Continuations;
  readonly #tooWide: (expressions: readonly Expression[]) => Error;
  /** By a hash of their continuations. */
  #states = new Map<number, State>();
  #bytes = 0;
  #work = 0;

  /**
   * @param reach bytes of the longest token: counts further off than this look alike in {@link near}
   * @param tooWide makes the error to throw if a text can be read in too many ways, of the expressions that come next in these
   */
  constructor(
    grammar: ByteGrammar,
    root: Expression,
    reach: number,
    tooWide: (expressions: readonly Expression[]) => Error,
  ) {
    this.#root = root;
    this.#continuations = new Continuations(grammar, reach);
    this.#tooWide = tooWide;
  }

  /** Steps of computing so far. */
  get work(): number {
    return this.#work + this.#continuations.work;
  }

  /** Memory that is kept, in bytes, roughly. */
  get bytes(): number {
    return this.#bytes + this.#continuations.bytes;
  }

  /** Forgets what is kept. States that are still in use remain valid. */
  forget(): void {
    for (const first of this.#states.values()) {
      for (let state: State | undefined = first; state; state = state.other) {
        state.steps = [];
        state.near = undefined;
      }
    }
    this.#states = new Map();
    this.#bytes = 0;
    this.#continuations.forget();
  }

  /** Where every text begins. */
  start(): State {
    return this.#state([this.#continuations.whole(this.#root)]);
  }

  /** The state after one more byte; null if no text goes on so. @throws as the constructor says */
  step(state: State, byte: number): State | null {
    const known = state.steps[byte];
    if (known !== undefined) return known;
    const targets: Continuation[] = [];
    // The bytes around this one that lead to the same state.
    let [low, high] = [0, 255];
    for (const continuation of state.continuations) {
      const { arcs } = this.#continuations.beginnings(continuation);
      this.#work += 1 + arcs.length;
      for (const { from, to, target } of arcs) {
        if (to < byte) low = Math.max(low, to + 1);
        else if (from > byte) high = Math.min(high, from - 1);
        else {
          low = Math.max(low, from);
          high = Math.min(high, to);
          targets.push(target);
        }
      }
    }
    const next = targets.length === 0 ? null : this.#state(targets);
    for (let each = low; each <= high; each++) state.steps[each] = next;
    return next;
  }

  /** Whether a text may end here. */
  ends({ continuations }: State): boolean {
    return continuations.some((each) => this.#continuations.beginnings(each).ends);
  }

  /** Whether a text must end here. */
  isWhole(state: State): boolean {
    return (
      this.ends(state) && state.continuations.every((each) => this.#continuations.beginnings(each).arcs.length === 0)
    );
  }

  /** The fewest bytes to the end of a text. */
  fewestBytes({ continuations: [first] }: State): number {
    return first!.fewest;
  }

  /** The continuations that end in the fewest bytes. */
  shortest(state: State): readonly Continuation[] {
    const fewest = this.fewestBytes(state);
    const others = state.continuations.findIndex((each) => each.fewest > fewest);
    return others < 0 ? state.continuations : state.continuations.slice(0, others);
  }

  /** The arc with which a continuation comes to the end in the fewest bytes. @param continuation is not the end */
  soonest(continuation: Continuation): Arc {
    const { arcs } = this.#continuations.beginnings(continuation);
    this.#work += arcs.length;
    return arcs.reduce((best, arc) => (arc.target.fewest < best.target.fewest ? arc : best));
  }

  /**
   * The state as far as one token can tell it apart: of the continuations that look alike so far, it has those that end in the
   * fewest bytes. After any token, what ends soonest is the same as from the state itself.
   */
  near(state: State): State {
    if (state.near) return state.near;
    const all = this.#sorted(state.continuations.map((each) => this.#continuations.near(each)));
    const fewestOf = new Map<string, number>();
    const apart = all.filter((each) => {
      const outline = this.#continuations.outline(each);
      const fewest = fewestOf.get(outline) ?? each.fewest;
      fewestOf.set(outline, fewest);
      return each.fewest === fewest;
    });
    state.near = this.#interned(apart);
    state.near.near = state.near;
    return state.near;
  }

  #state(continuations: readonly Continuation[]): State {
    return this.#interned(this.#sorted(continuations));
  }

  #sorted(continuations: readonly Continuation[]): readonly Continuation[] {
    this.#work += continuations.length;
    if (continuations.length === 1) return continuations;
    const distinct = [...new Set(continuations)];
    if (distinct.length > MOST_CONTINUATIONS) throw this.#tooWide(expressionsOf(distinct));
    return distinct.sort((a, b) => a.fewest - b.fewest || a.id - b.id);
  }

  #interned(continuations: readonly Continuation[]): State {
    let hash = 0;
    for (const { id } of continuations) hash = Math.imul(hash ^ id, 0x9e3779b1) ^ (hash >>> 15);
    const other = this.#states.get(hash);
    for (let state = other; state; state = state.other) {
      const known = state.continuations;
      if (known.length === continuations.length && known.every((each, i) => each === continuations[i])) return state;
    }
    const made: State = { continuations, steps: [], other };
    this.#states.set(hash, made);
    this.#bytes += STATE_BYTES + CONTINUATION_BYTES * continuations.length;
    return made;
  }
}

/** The expressions that continuations are within, one of each: characters are shared by many. */
export function expressionsOf(continuations: readonly Continuation[]): readonly Expression[] {
  return continuations.map((continuation) => {
    let each = continuation;
    while (each.next && (each.expression.kind === "byte" || each.expression.kind === "words")) each = each.next;
    return each.expression;
  });
}
