import { joinedBytes } from "../../../graph/joined-bytes.ts";
import type { Sliced } from "../../../runtime/slices.ts";

/**
 * Maximum length of used tokens in bytes. Longer ones are mostly runs of one character. It limits how far ahead counts in a grammar
 * matter.
 */
export const LONGEST_TOKEN = 32;

/** Tree of a vocabulary, whose paths are the tokens' bytes. Stored flat, each node before its descendants. */
export class Vocabulary {
  /** Last byte and depth of each node. Node 0 is the root. */
  readonly byteOf: Uint8Array;
  readonly depthOf: Uint8Array;
  /** First node after the descendants of each node. */
  readonly endOf: Uint32Array;
  readonly firstOf: Uint32Array;

  private constructor(
    /** Bytes of each token, by id; undefined for tokens without text. */
    readonly bytes: readonly (Uint8Array | undefined)[],
    /** Tokens sorted by their bytes. A node's tokens are those from its entry in `firstOf` up to the next node's. */
    readonly tokens: Uint32Array,
    nodes: Nodes,
  ) {
    this.byteOf = Uint8Array.from(nodes.byteOf);
    this.depthOf = Uint8Array.from(nodes.depthOf);
    this.endOf = Uint32Array.from(nodes.endOf);
    this.firstOf = Uint32Array.from(nodes.firstOf);
  }

  static *build(bytes: readonly (Uint8Array | undefined)[]): Sliced<Vocabulary> {
    const tokens = writable(bytes);
    yield;
    const nodes: Nodes = { byteOf: [], depthOf: [], endOf: [], firstOf: [] };
    yield* new TreeOfTokens(bytes, tokens, nodes).build(0, 0, tokens.length, 0);
    nodes.firstOf.push(tokens.length);
    return new Vocabulary(bytes, tokens, nodes);
  }

  below(node: number, byte: number): number {
    for (let child = node + 1; child < this.endOf[node]!; child = this.endOf[child]!) {
      if (this.byteOf[child] === byte) return child;
    }
    return 0;
  }

  isToken(node: number): boolean {
    return this.firstOf[node + 1]! > this.firstOf[node]!;
  }

  /** Text of tokens. Incomplete characters show as U+FFFD. */
  textOf(ids: readonly number[]): string {
    const all = joinedBytes(ids.flatMap((id) => this.bytes[id] ?? []));
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(all);
  }
}

type Nodes = Record<"byteOf" | "depthOf" | "endOf" | "firstOf", number[]>;

/** Number of tokens from which a branch of the tree is built in slices, or sorted by counting. */
const MANY = 2000;
const SEVERAL = 24;

class TreeOfTokens {
  readonly #sorted: Uint32Array;

  constructor(
    private readonly bytes: readonly (Uint8Array | undefined)[],
    private readonly tokens: Uint32Array,
    private readonly nodes: Nodes,
  ) {
    this.#sorted = new Uint32Array(tokens.length);
  }

  /** Adds the node `byte` with the tokens from `low` up to `high`, which share the `depth` bytes up to it, and all below it. */
  *build(byte: number, low: number, high: number, depth: number): Sliced<void> {
    const node = this.#open(byte, low, high, depth);
    for (const [from, to] of this.#branches(low, high, depth)) {
      const next = this.#byteAt(from, depth);
      if (to - from < MANY) this.#buildAtOnce(next, from, to, depth + 1);
      else yield* this.build(next, from, to, depth + 1);
      yield;
    }
    this.nodes.endOf[node] = this.nodes.byteOf.length;
  }

  #buildAtOnce(byte: number, low: number, high: number, depth: number): void {
    const node = this.#open(byte, low, high, depth);
    for (const [from, to] of this.#branches(low, high, depth)) {
      this.#buildAtOnce(this.#byteAt(from, depth), from, to, depth + 1);
    }
    this.nodes.endOf[node] = this.nodes.byteOf.length;
  }

  #open(byte: number, low: number, high: number, depth: number): number {
    const { byteOf, depthOf, endOf, firstOf } = this.nodes;
    this.#sort(low, high, depth);
    byteOf.push(byte);
    depthOf.push(depth);
    endOf.push(0);
    return firstOf.push(low) - 1;
  }

  *#branches(low: number, high: number, depth: number): Generator<[from: number, to: number]> {
    let from = low;
    while (from < high && this.#byteAt(from, depth) < 0) from++;
    for (let to = from + 1; from < high; to++) {
      if (to < high && this.#byteAt(to, depth) === this.#byteAt(from, depth)) continue;
      yield [from, to];
      from = to;
    }
  }

  /** A byte of the token at an index; -1 after its end. */
  #byteAt(place: number, depth: number): number {
    return this.bytes[this.tokens[place]!]![depth] ?? -1;
  }

  /** Sorts tokens by one of their bytes. Tokens that have ended are first. */
  #sort(low: number, high: number, depth: number): void {
    const tokens = this.tokens;
    if (high - low < SEVERAL) {
      for (let i = low + 1; i < high; i++) {
        const token = tokens[i]!;
        const byte = this.#byteAt(i, depth);
        let place = i;
        for (; place > low && this.#byteAt(place - 1, depth) > byte; place--) tokens[place] = tokens[place - 1]!;
        tokens[place] = token;
      }
      return;
    }
    const starts = new Uint32Array(258);
    for (let i = low; i < high; i++) starts[this.#byteAt(i, depth) + 2]!++;
    for (let i = 1; i < starts.length; i++) starts[i]! += starts[i - 1]!;
    for (let i = low; i < high; i++) {
      const byte = this.#byteAt(i, depth) + 1;
      this.#sorted[starts[byte]!] = tokens[i]!;
      starts[byte]!++;
    }
    tokens.set(this.#sorted.subarray(0, high - low), low);
  }
}

function writable(bytes: readonly (Uint8Array | undefined)[]): Uint32Array {
  const single = new Set(bytes.map((each) => (each?.length === 1 ? each[0]! : -1)));
  const goesOn = Array.from({ length: 64 }, (_, i) => 0x80 + i).every((byte) => single.has(byte));
  const ids = [...bytes.keys()].filter((id) => {
    const own = bytes[id];
    // A character that begins must be completed.
    return own && own.length > 0 && own.length <= LONGEST_TOKEN && (goesOn || isWhole(own));
  });
  return Uint32Array.from(ids);
}

const strict = new TextDecoder("utf-8", { fatal: true });

function isWhole(bytes: Uint8Array): boolean {
  try {
    strict.decode(bytes);
    return true;
  } catch {
    return false;
  }
}
