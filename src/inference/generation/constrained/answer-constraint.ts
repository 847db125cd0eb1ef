import { UserError } from "../../../errors.ts";
import { inSlices, type Sliced } from "../../../runtime/slices.ts";
import type { ByteAutomaton, State } from "./byte-automaton.ts";
import type { Continuation } from "./continuations.ts";
import type { KeptMemory } from "./kept-memory.ts";
import type { Steps } from "./steps.ts";
import type { Vocabulary } from "./vocabulary.ts";

const FORBIDDEN = 0xffff;
/** Maximum bytes of the shortest answer, whose end is computed before it begins. */
const SHORTEST = 4096;
/** Maximum bytes in which an answer must be able to end, after each of its tokens. */
const LONGEST_END = 65_536;
const KEPT_BYTES = 48e6;
const ENTRY_BYTES = 50;
/** Maximum steps of computation per token, and per answer. About 20 million take a second. */
const MOST_FOR_TOKEN = 30e6;
const MOST_FOR_ANSWER = 600e6;
const TRIED = 8;

export interface Effort {
  steps: number;
}

interface AfterToken {
  state: State | null;
  isWhole: boolean;
}

/**
 * Constrains answers to a grammar. For each token it knows whether the token can continue the answer, and how many more tokens
 * the answer then needs, so that no answer is cut off at its maximum length.
 */
export class AnswerConstraint {
  readonly #steps: Steps;
  /** By state: for each token, how many more the answer needs after it. The most recently used states are last. */
  #costs = new Map<State, Uint16Array>();
  #costOf = new Map<State, number>();
  #closing = new Map<Continuation, number>();
  /** The error with which every answer ends, if the grammar is too costly to follow. */
  #refusal: { error: unknown } | undefined;

  constructor(
    private readonly automaton: ByteAutomaton,
    readonly vocabulary: Vocabulary,
    private readonly memory: KeptMemory,
    private readonly tooMuch: (state: State) => Error,
  ) {
    this.#steps = automaton.steps;
  }

  get bytes(): number {
    const costs = this.#costs.size * 2 * this.vocabulary.bytes.length;
    return this.automaton.bytes + costs + ENTRY_BYTES * (this.#costOf.size + this.#closing.size);
  }

  forget(): void {
    this.automaton.forget();
    this.#costs = new Map();
    this.#costOf = new Map();
    this.#closing = new Map();
  }

  begin(): HeldAnswer {
    return new HeldAnswer(this, this.automaton.start(), { steps: 0 }, false);
  }

  async refuseUnlessPossible(most: number, ended: () => boolean = () => false): Promise<void> {
    if (this.#refusal) throw this.#refusal.error;
    const start = this.automaton.start();
    const bytes = this.automaton.fewestBytes(start);
    if (bytes === Number.POSITIVE_INFINITY) {
      throw new UserError("no answer is valid by the JSON schema, since its values never end or contradict each other");
    }
    if (bytes > SHORTEST) {
      throw new UserError(
        `the shortest answer of the JSON schema has ${bytes} characters, and may have ${SHORTEST}; make the schema smaller`,
      );
    }
    const effort = { steps: 0 };
    const tokens = await inSlices(this.#counted(this.#tokensToEnd(start), start, effort), ended);
    if (tokens === undefined) return;
    if (tokens === Number.POSITIVE_INFINITY) {
      throw new UserError("the model's vocabulary has no tokens for an answer of the JSON schema; use another model");
    }
    if (tokens + 1 > most) {
      throw new UserError(
        `the shortest answer of the JSON schema takes ${tokens + 1} tokens, and an answer may have ${most}; allow more tokens, or make the schema smaller`,
      );
    }
    await this.#tryShortest(start, effort, ended).catch((error: unknown) => {
      this.#refusal = { error };
      throw error;
    });
  }

  async #tryShortest(start: State, effort: Effort, ended: () => boolean): Promise<void> {
    let state: State | null = start;
    for (let i = 0; state && i < TRIED && this.automaton.fewestBytes(state) > 0; i++) {
      const allowed: AllowedTokens | undefined = await this.allowed(state, effort, ended);
      const after: AfterToken | undefined = allowed && (await this.after(state, allowed.soonest, effort, ended));
      if (!after) return;
      ({ state } = after);
    }
  }

  /**
   * The state after one more token, and whether the answer is then complete and cannot continue. Tokens without text, such as a start
   * token, change nothing. The other parameters, results and errors are those of {@link allowed}.
   */
  async after(state: State, token: number, effort: Effort, ended: () => boolean): Promise<AfterToken | undefined> {
    return inSlices(this.#counted(this.#after(state, token), state, effort), ended);
  }

  *#after(state: State, token: number): Sliced<AfterToken> {
    let next: State | null = state;
    for (const byte of this.vocabulary.bytes[token] ?? []) next = next && (yield* this.automaton.step(next, byte));
    return { state: next, isWhole: next !== null && (yield* this.automaton.isWhole(next)) };
  }

  async allowed(state: State, effort: Effort, ended: () => boolean): Promise<AllowedTokens | undefined> {
    const costs = await inSlices(this.#counted(this.#costsIn(state), state, effort), ended);
    return costs && new AllowedTokens(costs, this.automaton.ends(state));
  }

  *#counted<Found>(computing: Sliced<Found>, state: State, effort: Effort): Sliced<Found> {
    const most = Math.min(effort.steps + MOST_FOR_TOKEN, MOST_FOR_ANSWER);
    for (;;) {
      const before = this.#steps.count;
      const { done, value } = computing.next();
      effort.steps += this.#steps.count - before;
      this.memory.noteUse(this);
      if (done) return value;
      if (effort.steps > most) throw this.tooMuch(state);
      yield;
    }
  }

  *#costsIn(own: State): Sliced<Uint16Array> {
    const state = yield* this.automaton.near(own);
    const costs = this.#costs.get(state) ?? (yield* this.#computeCosts(state));
    this.#costs.delete(state);
    this.#costs.set(state, costs);
    if (this.#costs.size * costs.byteLength > KEPT_BYTES) this.#costs.delete(this.#costs.keys().next().value!);
    return costs;
  }

  *#computeCosts(start: State): Sliced<Uint16Array> {
    const { byteOf, depthOf, endOf, firstOf, tokens, bytes } = this.vocabulary;
    const costs = new Uint16Array(bytes.length).fill(FORBIDDEN);
    const path: State[] = [start];
    for (let node = 1; node < byteOf.length; ) {
      this.#steps.count++;
      if (this.#steps.isDue()) yield;
      const depth = depthOf[node]!;
      const before = path[depth - 1]!;
      let state = before.steps[byteOf[node]!];
      if (state === undefined) state = yield* this.automaton.step(before, byteOf[node]!);
      if (!state) {
        node = endOf[node]!;
        continue;
      }
      path[depth] = state;
      const [first, last] = [firstOf[node]!, firstOf[node + 1]!];
      if (last > first) {
        const cost = Math.min(this.#costOf.get(state) ?? (yield* this.#tokensToEnd(state)), FORBIDDEN);
        for (let i = first; i < last; i++) costs[tokens[i]!] = cost;
      }
      node++;
    }
    return costs;
  }

  /** Number of tokens with which an answer can end from a state; infinite if it takes more than {@link LONGEST_END} bytes. */
  *#tokensToEnd(state: State): Sliced<number> {
    let least = Number.POSITIVE_INFINITY;
    if (this.automaton.fewestBytes(state) <= LONGEST_END) {
      for (const each of this.automaton.shortest(state)) {
        least = Math.min(least, this.#closing.get(each) ?? (yield* this.#computeClosing(each)));
      }
    }
    this.#costOf.set(state, least);
    return least;
  }

  /**
   * Number of tokens of a continuation's shortest text in bytes, cut greedily into the longest tokens. After the first of them, the
   * others
   * end it, so there is always a token that keeps within the remaining length.
   */
  *#computeClosing(start: Continuation): Sliced<number> {
    const passed: Continuation[] = [];
    let each = start;
    let known: number | undefined;
    while (known === undefined && each.fewest > 0) {
      if (this.#steps.isDue()) yield;
      passed.push(each);
      const next = yield* this.#afterLongestToken(each);
      if (!next) break;
      each = next;
      known = this.#closing.get(each);
    }
    let count = known ?? (each.fewest === 0 ? 0 : Number.POSITIVE_INFINITY);
    for (const before of passed.toReversed()) this.#closing.set(before, ++count);
    return count;
  }

  *#afterLongestToken(start: Continuation): Sliced<Continuation | undefined> {
    let found: Continuation | undefined;
    let each = start;
    for (let node = 0; each.fewest > 0; ) {
      const { from, target } = yield* this.automaton.soonest(each);
      node = this.vocabulary.below(node, from);
      if (node === 0) break;
      each = target;
      if (this.vocabulary.isToken(node)) found = each;
    }
    return found;
  }
}

export class HeldAnswer {
  constructor(
    private readonly constraint: AnswerConstraint,
    /** Null if the answer has left the grammar. */
    private readonly state: State | null,
    /** Shared by all answers with the same beginning. */
    private readonly effort: Effort,
    /** Whether the answer is complete and cannot continue. */
    readonly isWhole: boolean,
  ) {}

  async with(token: number, ended: () => boolean = () => false): Promise<HeldAnswer | undefined> {
    if (!this.state) return this;
    const after = await this.constraint.after(this.state, token, this.effort, ended);
    return after && new HeldAnswer(this.constraint, after.state, this.effort, after.isWhole);
  }

  async allowed(ended: () => boolean = () => false): Promise<AllowedTokens | undefined> {
    if (!this.state) return new AllowedTokens(new Uint16Array(), false);
    return this.constraint.allowed(this.state, this.effort, ended);
  }
}

export class AllowedTokens {
  constructor(
    private readonly costs: Uint16Array,
    private readonly ends: boolean,
  ) {}

  get soonest(): number {
    return this.costs.indexOf(least(this.costs));
  }

  /**
   * Masks, in place, tokens that cannot continue the answer, or after which it could not end in time.
   * @param scores `[vocabulary]`
   */
  apply(scores: Float32Array, left: number, ends: readonly number[]): void {
    const endScores = this.ends ? ends.map((id) => scores[id]!) : undefined;
    // One token is left for the end.
    const most = Math.min(endScores ? left - 2 : Math.max(left - 2, least(this.costs)), FORBIDDEN - 1);
    const known = this.costs.length;
    for (let id = 0; id < known; id++) if (this.costs[id]! > most) scores[id] = Number.NEGATIVE_INFINITY;
    scores.fill(Number.NEGATIVE_INFINITY, known);
    endScores?.forEach((score, i) => {
      scores[ends[i]!] = score;
    });
  }
}

function least(costs: Uint16Array): number {
  let lowest = FORBIDDEN;
  for (const cost of costs) if (cost < lowest) lowest = cost;
  return lowest;
}
