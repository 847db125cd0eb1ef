import type { Sliced } from "../../../runtime/slices.ts";
import type { ByteGrammar } from "./byte-grammar.ts";
import { type Arc, type Continuation, Continuations } from "./continuations.ts";
import type { Expression } from "./expressions.ts";
import { Steps } from "./steps.ts";

/** Position of a text in the grammar: the set of possible continuations. */
export interface State {
  /** Sorted by fewest bytes. */
  readonly continuations: readonly Continuation[];
  /** By byte; null if no text continues with it, undefined if not computed yet. */
  steps: (State | null | undefined)[];
  /** Another state whose continuations have the same hash. */
  readonly other: State | undefined;
  /** The same state as far as one token can distinguish. */
  near?: State | undefined;
}

const MOST_CONTINUATIONS = 10_000;
const MOST_ARCS = 150_000;
const STATE_BYTES = 1500;
const CONTINUATION_BYTES = 8;

/**
 * Reads texts of a grammar byte by byte. States are made on demand, so that nesting is unbounded and counts cost nothing: a state
 * is a set of partial derivatives (Antimirov, 1996), each a stack of expressions.
 */
export class ByteAutomaton {
  readonly steps = new Steps();
  readonly #continuations: Continuations;
  #states = new Map<number, State>();
  #bytes = 0;

  constructor(
    grammar: ByteGrammar,
    private readonly root: Expression,
    reach: number,
    private readonly tooWide: (expressions: readonly Expression[]) => Error,
  ) {
    this.#continuations = new Continuations(grammar, reach, this.steps);
  }

  get bytes(): number {
    return this.#bytes + this.#continuations.bytes;
  }

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

  start(): State {
    return this.#state([this.#continuations.whole(this.root)]);
  }

  /** The state after one more byte; null if no text continues with it. */
  *step(state: State, byte: number): Sliced<State | null> {
    const known = state.steps[byte];
    if (known !== undefined) return known;
    const targets: Continuation[] = [];
    let seen = 0;
    // The bytes around this one that lead to the same state.
    let [low, high] = [0, 255];
    for (const continuation of state.continuations) {
      const { arcs } = continuation.begins ?? (yield* this.#continuations.open(continuation));
      this.steps.count += 1 + arcs.length;
      if (this.steps.isDue()) yield;
      seen += arcs.length;
      if (seen > MOST_ARCS) throw this.tooWide(expressionsOf(state.continuations));
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

  ends(state: State): boolean {
    return this.fewestBytes(state) === 0;
  }

  *isWhole(state: State): Sliced<boolean> {
    if (!this.ends(state)) return false;
    for (const each of state.continuations) {
      const { arcs } = each.begins ?? (yield* this.#continuations.open(each));
      if (arcs.length > 0) return false;
    }
    return true;
  }

  fewestBytes({ continuations: [first] }: State): number {
    return first!.fewest;
  }

  shortest(state: State): readonly Continuation[] {
    const fewest = this.fewestBytes(state);
    const others = state.continuations.findIndex((each) => each.fewest > fewest);
    return others < 0 ? state.continuations : state.continuations.slice(0, others);
  }

  *soonest(continuation: Continuation): Sliced<Arc> {
    const { arcs } = continuation.begins ?? (yield* this.#continuations.open(continuation));
    this.steps.count += arcs.length;
    return arcs.reduce((best, arc) => (arc.target.fewest < best.target.fewest ? arc : best));
  }

  /**
   * The same state as far as one token can distinguish: among the continuations that look the same up to there, it has those with the
   * fewest bytes to the end. After any token, the shortest end is that of the state itself.
   */
  *near(state: State): Sliced<State> {
    if (state.near) return state.near;
    const all: Continuation[] = [];
    for (const each of state.continuations) {
      all.push(this.#continuations.near(each));
      if (this.steps.isDue()) yield;
    }
    const fewestOf = new Map<string, number>();
    const apart: Continuation[] = [];
    for (const each of this.#sorted(all)) {
      const outline = this.#continuations.outline(each);
      const fewest = fewestOf.get(outline) ?? each.fewest;
      fewestOf.set(outline, fewest);
      if (each.fewest === fewest) apart.push(each);
      if (this.steps.isDue()) yield;
    }
    state.near = this.#interned(apart);
    state.near.near = state.near;
    return state.near;
  }

  #state(continuations: readonly Continuation[]): State {
    return this.#interned(this.#sorted(continuations));
  }

  #sorted(continuations: readonly Continuation[]): readonly Continuation[] {
    this.steps.count += continuations.length;
    if (continuations.length === 1) return continuations;
    const distinct = [...new Set(continuations)];
    if (distinct.length > MOST_CONTINUATIONS) throw this.tooWide(expressionsOf(distinct));
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

/** The expressions that contain the continuations, one for each. Characters are shared by many expressions. */
export function expressionsOf(continuations: readonly Continuation[]): readonly Expression[] {
  return continuations.map((continuation) => {
    let each = continuation;
    while (each.next && (each.expression.kind === "byte" || each.expression.kind === "words")) each = each.next;
    return each.expression;
  });
}
