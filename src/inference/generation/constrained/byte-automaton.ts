import type { ByteGrammar, ByteRange, Expression } from "./byte-grammar.ts";

/** What is still to be written: an expression, and what comes after it. */
interface Continuation {
  readonly id: number;
  readonly expression: Expression;
  /** Absent where nothing comes after. */
  readonly next: Continuation | undefined;
  /** Fewest bytes to the end. */
  readonly fewest: number;
}

interface Arc {
  readonly range: ByteRange;
  readonly target: Continuation | undefined;
}

/** What a continuation may begin with. */
interface Expanded {
  readonly arcs: readonly Arc[];
  /** Whether it may be empty. */
  readonly ends: boolean;
}

/** Where in the grammar a text has come to: all that may be still to come. */
export interface State {
  /** Those with the fewest bytes first; an empty one is the end. */
  readonly continuations: readonly (Continuation | undefined)[];
  /** By byte; null where no text goes on so, absent where nobody asked. */
  readonly steps: (State | null | undefined)[];
  arcs?: Expanded;
  /** The same state as far as one token can tell it apart. */
  near?: State;
}

/** Ways to read one text at most; those that end soonest are kept. */
const MOST_CONTINUATIONS = 256;
/** States at most before all are made anew. */
const MOST_STATES = 20_000;

/**
 * Reads texts of a grammar byte by byte. States are made where a text comes to them, so that nesting has no bound and counts cost
 * nothing: a state is a set of partial derivatives (Antimirov, 1996), each a stack of expressions.
 */
export class ByteAutomaton {
  readonly #grammar: ByteGrammar;
  readonly #root: Expression;
  readonly #reach: number;
  #continuations = new Map<string, Continuation>();
  #expanded = new Map<Continuation, Expanded>();
  #states = new Map<string, State>();
  #count = 0;

  /** @param reach bytes of the longest token: counts further off than this look alike in {@link near} */
  constructor(grammar: ByteGrammar, root: Expression, reach: number) {
    this.#grammar = grammar;
    this.#root = root;
    this.#reach = reach;
  }

  /** Where every text begins. Forgets the other states where there are very many. */
  start(): State {
    if (this.#states.size > MOST_STATES) {
      this.#continuations = new Map();
      this.#expanded = new Map();
      this.#states = new Map();
    }
    return this.#state([this.#continuation(this.#root, undefined)]);
  }

  /** The state after one more byte; null where no text goes on so. */
  step(state: State, byte: number): State | null {
    const known = state.steps[byte];
    if (known !== undefined) return known;
    const targets = this.#expand(state).arcs.filter(({ range: [from, to] }) => byte >= from && byte <= to);
    const next = targets.length === 0 ? null : this.#state(targets.map(({ target }) => target));
    state.steps[byte] = next;
    return next;
  }

  /** Whether a text may end here. */
  ends(state: State): boolean {
    return this.#expand(state).ends;
  }

  /** Whether a text must end here. */
  isWhole(state: State): boolean {
    const { arcs, ends } = this.#expand(state);
    return ends && arcs.length === 0;
  }

  /** The fewest bytes to the end of a text. */
  fewestBytes({ continuations: [first] }: State): number {
    return first?.fewest ?? 0;
  }

  /** A byte with which a text comes to its end in the fewest bytes. */
  soonest(state: State): number {
    const { arcs } = this.#expand(state);
    const [first, ...others] = arcs as [Arc, ...Arc[]];
    return others.reduce((best, arc) => (fewestOf(arc.target) < fewestOf(best.target) ? arc : best), first).range[0];
  }

  /** The state without what no token reaches: counts that are far from their limit have none. */
  near(state: State): State {
    state.near ??= this.#state(state.continuations.map((each) => each && this.#nearest(each)));
    return state.near;
  }

  #nearest({ expression, next }: Continuation): Continuation {
    const rest = next && this.#nearest(next);
    const far = expression.kind === "repeat" && expression.max > Math.max(expression.min, this.#reach);
    return this.#continuation(far ? this.#grammar.repeat(expression.part, expression.min) : expression, rest);
  }

  #continuation(expression: Expression, next: Continuation | undefined): Continuation {
    const key = `${expression.id}:${next?.id}`;
    const known = this.#continuations.get(key);
    if (known) return known;
    const fewest = this.#grammar.fewestBytes(expression) + fewestOf(next);
    const made = { id: this.#count++, expression, next, fewest };
    this.#continuations.set(key, made);
    return made;
  }

  #state(continuations: readonly (Continuation | undefined)[]): State {
    const sorted = [...new Set(continuations)]
      .sort((a, b) => fewestOf(a) - fewestOf(b) || (a?.id ?? -1) - (b?.id ?? -1))
      .slice(0, MOST_CONTINUATIONS);
    const key = sorted.map((each) => each?.id).join();
    const known = this.#states.get(key);
    if (known) return known;
    const made = { continuations: sorted, steps: [] };
    this.#states.set(key, made);
    return made;
  }

  #expand(state: State): Expanded {
    state.arcs ??= joined(state.continuations.map((each) => this.#expandOne(each)));
    return state.arcs;
  }

  #expandOne(continuation: Continuation | undefined): Expanded {
    if (!continuation) return { arcs: [], ends: true };
    const known = this.#expanded.get(continuation);
    if (known) return known;
    const arcs: Arc[] = [];
    const seen = new Set<Continuation>();
    let ends = false;
    const open = [continuation];
    for (let each = open.pop(); each; each = open.pop()) {
      // What stands at its own beginning adds nothing.
      if (seen.has(each) || each.fewest === Number.POSITIVE_INFINITY) continue;
      seen.add(each);
      const { expression, next } = each;
      if (expression.kind === "byte") {
        arcs.push(...expression.ranges.map((range) => ({ range, target: next })));
        continue;
      }
      for (const before of this.#opened(expression, next)) {
        if (before) open.push(before);
        else ends = true;
      }
    }
    const expanded = { arcs, ends };
    this.#expanded.set(continuation, expanded);
    return expanded;
  }

  /** What an expression that is no byte may become: its parts before what follows. */
  #opened(
    expression: Exclude<Expression, { kind: "byte" }>,
    next: Continuation | undefined,
  ): (Continuation | undefined)[] {
    switch (expression.kind) {
      case "sequence":
        return [expression.parts.reduceRight((rest, part) => this.#continuation(part, rest), next)];
      case "choice":
        return expression.parts.map((part) => this.#continuation(part, next));
      case "reference":
        return [this.#continuation(expression.target!, next)];
      case "repeat": {
        const { part, min, max } = expression;
        const again = (): Continuation => {
          const left =
            max === 1 ? next : this.#continuation(this.#grammar.repeat(part, Math.max(0, min - 1), max - 1), next);
          return this.#continuation(part, left);
        };
        return [...(max > 0 ? [again()] : []), ...(min === 0 ? [next] : [])];
      }
    }
  }
}

const fewestOf = (continuation: Continuation | undefined): number => continuation?.fewest ?? 0;

const joined = (all: readonly Expanded[]): Expanded =>
  all.length === 1 ? all[0]! : { arcs: all.flatMap(({ arcs }) => arcs), ends: all.some(({ ends }) => ends) };
