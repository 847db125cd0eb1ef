import { joinedBytes } from "../../../graph/joined-bytes.ts";

/** Longer tokens, mostly runs of one sign, are never written: counts in a grammar then matter for a short reach alone. */
export const LONGEST_TOKEN = 32;

/** A vocabulary by what its tokens write: a tree whose paths are their bytes, laid out flat, a node before what is below it. */
export class Vocabulary {
  /** Bytes of each token, by id; none of what is no text. */
  readonly bytes: readonly (Uint8Array | undefined)[];
  /** Of each node the byte that leads to it, and how many lead there in all. Node 0 is the root. */
  readonly byteOf: Uint8Array;
  readonly depthOf: Uint8Array;
  /** Of each node the first that is not below it. */
  readonly endOf: Uint32Array;
  /** Tokens in the order of their bytes; a node's own are those from its number to the next node's in `firstOf`. */
  readonly tokens: Uint32Array;
  readonly firstOf: Uint32Array;

  constructor(bytes: readonly (Uint8Array | undefined)[]) {
    this.bytes = bytes;
    this.tokens = sorted(bytes);
    const path: number[] = [];
    const nodes: number[] = [];
    const [byteOf, depthOf, endOf, firstOf] = [[0], [0], [0], [0]];
    const close = (depth: number): void => {
      while (nodes.length > depth) endOf[nodes.pop()!] = byteOf.length;
      path.length = depth;
    };
    for (const [i, token] of this.tokens.entries()) {
      const own = bytes[token]!;
      let shared = 0;
      while (shared < path.length && path[shared] === own[shared]) shared++;
      close(shared);
      for (const byte of own.subarray(shared)) {
        nodes.push(byteOf.length);
        path.push(byte);
        byteOf.push(byte);
        depthOf.push(path.length);
        endOf.push(0);
        firstOf.push(i);
      }
    }
    close(0);
    endOf[0] = byteOf.length;
    firstOf.push(this.tokens.length);
    this.byteOf = Uint8Array.from(byteOf);
    this.depthOf = Uint8Array.from(depthOf);
    this.endOf = Uint32Array.from(endOf);
    this.firstOf = Uint32Array.from(firstOf);
  }

  /** The node one byte below another; 0 where there is none. */
  below(node: number, byte: number): number {
    for (let child = node + 1; child < this.endOf[node]!; child = this.endOf[child]!) {
      if (this.byteOf[child] === byte) return child;
    }
    return 0;
  }

  /** Whether a token ends at a node. */
  isToken(node: number): boolean {
    return this.firstOf[node + 1]! > this.firstOf[node]!;
  }

  /** What tokens write; bytes that are no whole character show as U+FFFD. */
  textOf(ids: readonly number[]): string {
    const all = joinedBytes(ids.flatMap((id) => this.bytes[id] ?? []));
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(all);
  }
}

/** Tokens that can be written, in the order of their bytes. */
function sorted(bytes: readonly (Uint8Array | undefined)[]): Uint32Array {
  const single = new Set(bytes.map((each) => (each?.length === 1 ? each[0]! : -1)));
  const goesOn = Array.from({ length: 64 }, (_, i) => 0x80 + i).every((byte) => single.has(byte));
  const ids = [...bytes.keys()].filter((id) => {
    const own = bytes[id];
    // A character that is begun must come to its end.
    return own && own.length > 0 && own.length <= LONGEST_TOKEN && (goesOn || isWhole(own));
  });
  // A letter for each byte: texts are compared at once.
  const keys = new Map(ids.map((id) => [id, String.fromCharCode(...bytes[id]!)]));
  return Uint32Array.from(ids.sort((a, b) => (keys.get(a)! < keys.get(b)! ? -1 : 1)));
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
