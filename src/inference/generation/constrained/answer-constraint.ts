import { UserError } from "../../../errors.ts";
import type { ByteAutomaton, State } from "./byte-automaton.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** Stands for a token that no answer goes on with. */
const FORBIDDEN = 0xffff;
/** Bytes of the shortest answer at most: how it ends is known from each of them. */
const SHORTEST = 4096;
/** Bytes of the costs that are kept, for tokens that come to the same state again. */
const KEPT_BYTES = 64e6;

/**
 * Holds answers to a grammar: of each token it knows whether an answer may go on with it, and how many more tokens end the answer
 * then, so that none is cut off at its greatest length.
 */
export class AnswerConstraint {
  readonly vocabulary: Vocabulary;
  readonly #automaton: ByteAutomaton;
  /** Of each token how many more end an answer after it, by state; the states asked for last stand last. */
  #costs = new Map<State, Uint16Array>();
  #closing = new WeakMap<State, number>();

  constructor(automaton: ByteAutomaton, vocabulary: Vocabulary) {
    this.#automaton = automaton;
    this.vocabulary = vocabulary;
  }

  /**
   * @param most tokens of an answer, its end token included
   * @throws UserError where no answer is so short, or the vocabulary cannot write one.
   */
  refuseUnlessPossible(most: number): void {
    const start = this.#automaton.start();
    const bytes = this.#automaton.fewestBytes(start);
    if (bytes === Number.POSITIVE_INFINITY) {
      throw new UserError("no answer is valid by the JSON schema, since its values never end or contradict each other");
    }
    if (bytes > SHORTEST) {
      throw new UserError(
        `the shortest answer of the JSON schema has ${bytes} characters, and may have ${SHORTEST}; make the schema smaller`,
      );
    }
    const least = this.#tokensToEnd(start) + 1;
    if (least === Number.POSITIVE_INFINITY) {
      throw new UserError("the model's vocabulary has no tokens for an answer of the JSON schema; use another model");
    }
    if (least > most) {
      throw new UserError(
        `the shortest answer of the JSON schema takes ${least} tokens, and an answer may have ${most}; allow more tokens, or make the schema smaller`,
      );
    }
  }

  /**
   * Forbids, in place, the tokens that no answer goes on with, or after which it could not end in time.
   * @param scores `[vocabulary]`
   * @param written ids of the answer so far
   * @param left tokens that it may still have, its end token included
   * @param ends tokens that end it
   */
  apply(scores: Float32Array, written: readonly number[], left: number, ends: readonly number[]): void {
    const state = this.#stateAfter(written);
    const endScores = state && this.#automaton.ends(state) ? ends.map((id) => scores[id]!) : undefined;
    const costs = state && this.#costsIn(this.#automaton.near(state));
    const most = Math.min(Math.max(left - 2, endScores ? 0 : least(costs)), FORBIDDEN - 1);
    const known = costs?.length ?? 0;
    for (let id = 0; id < known; id++) if (costs![id]! > most) scores[id] = Number.NEGATIVE_INFINITY;
    scores.fill(Number.NEGATIVE_INFINITY, known);
    endScores?.forEach((score, i) => {
      scores[ends[i]!] = score;
    });
  }

  /** Whether an answer is whole and cannot go on. */
  isWhole(written: readonly number[]): boolean {
    const state = this.#stateAfter(written);
    return state !== null && this.#automaton.isWhole(state);
  }

  /** What is no text, such as a token that every answer begins with, changes nothing. */
  #stateAfter(written: readonly number[]): State | null {
    let state: State | null = this.#automaton.start();
    for (const id of written) {
      for (const byte of this.vocabulary.bytes[id] ?? []) state = state && this.#automaton.step(state, byte);
    }
    return state;
  }

  #costsIn(state: State): Uint16Array {
    const known = this.#costs.get(state);
    if (known) this.#costs.delete(state);
    const costs = known ?? this.#computeCosts(state);
    this.#costs.set(state, costs);
    if (this.#costs.size * costs.byteLength > KEPT_BYTES) this.#costs.delete(this.#costs.keys().next().value!);
    return costs;
  }

  /** Walks the tree of the vocabulary with the state that each of its nodes comes to. */
  #computeCosts(start: State): Uint16Array {
    const { byteOf, depthOf, endOf, firstOf, tokens, bytes } = this.vocabulary;
    const costs = new Uint16Array(bytes.length).fill(FORBIDDEN);
    const path: State[] = [start];
    for (let node = 1; node < byteOf.length; ) {
      const depth = depthOf[node]!;
      const state = this.#automaton.step(path[depth - 1]!, byteOf[node]!);
      if (!state) {
        node = endOf[node]!;
        continue;
      }
      path[depth] = state;
      const [first, last] = [firstOf[node]!, firstOf[node + 1]!];
      if (last > first) {
        const cost = Math.min(this.#tokensToEnd(state), FORBIDDEN);
        for (let i = first; i < last; i++) costs[tokens[i]!] = cost;
      }
      node++;
    }
    return costs;
  }

  /**
   * Tokens with which an answer can end from a state: the shortest text in bytes, cut into the longest tokens from its beginning.
   * After the first of them the others end it, so there is always one that keeps to what is left.
   */
  #tokensToEnd(start: State): number {
    const passed: State[] = [];
    let state = start;
    let known = this.#closing.get(state);
    while (known === undefined && this.#automaton.fewestBytes(state) > 0) {
      passed.push(state);
      const next = this.#longestToken(state);
      if (!next) break;
      state = next;
      known = this.#closing.get(state);
    }
    let count = known ?? (this.#automaton.fewestBytes(state) === 0 ? 0 : Number.POSITIVE_INFINITY);
    this.#closing.set(state, count);
    for (const each of passed.toReversed()) if (each !== state) this.#closing.set(each, ++count);
    return count;
  }

  /** The state after the longest token that the shortest text from a state begins with. */
  #longestToken(start: State): State | undefined {
    let found: State | undefined;
    let state = start;
    for (let node = 0; this.#automaton.fewestBytes(state) > 0; ) {
      const byte = this.#automaton.soonest(state);
      node = this.vocabulary.below(node, byte);
      if (node === 0) break;
      state = this.#automaton.step(state, byte)!;
      if (this.vocabulary.isToken(node)) found = state;
    }
    return found;
  }
}

function least(costs: Uint16Array | null): number {
  let lowest = FORBIDDEN;
  for (const cost of costs ?? []) if (cost < lowest) lowest = cost;
  return lowest;
}
