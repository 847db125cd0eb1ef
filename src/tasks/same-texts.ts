import type { Example } from "./example.ts";
import type { List } from "./list.ts";

type Texts = Pick<Example, "text" | "textPair" | "texts" | "messages">;

/**
 * For each example, the index of the first example with the same texts; differences in spaces do not count. Texts are compared by hashes
 * of 53 bits, so that a million of them take little memory.
 */
export function firstOfSame(examples: List<Texts>): Uint32Array {
  const hashes = new Float64Array(examples.length);
  let filled = 0;
  for (const example of examples) hashes[filled++] = textsHash(example);
  const first = Uint32Array.from(hashes.keys());
  const sorted = first.slice().sort((a, b) => hashes[a]! - hashes[b]! || a - b);
  sorted.forEach((own, place) => {
    const before = sorted[place - 1];
    if (before !== undefined && hashes[before] === hashes[own]) first[own] = first[before]!;
  });
  return first;
}

/** Hash of an example's texts, the same if only spaces differ: cyrb53 (bryc, public domain), of 53 bits. */
export function textsHash({ text, textPair = "", texts = [], messages }: Texts): number {
  let [high, low] = [0xdeadbeef, 0x41c6ce57];
  const mix = (code: number): void => {
    high = Math.imul(high ^ code, 2654435761);
    low = Math.imul(low ^ code, 1597334677);
  };
  for (const part of [messages ? JSON.stringify(messages) : text, textPair, ...texts]) {
    let [isBegun, isGap] = [false, false];
    for (let i = 0; i < part.length; i++) {
      const code = part.charCodeAt(i);
      if (isSpace(code)) {
        isGap = isBegun;
        continue;
      }
      if (isGap) mix(SPACE);
      mix(code);
      [isBegun, isGap] = [true, false];
    }
    mix(LINE_BREAK);
  }
  high = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909);
  low = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(high ^ (high >>> 13), 3266489909);
  return 4294967296 * (2097151 & low) + (high >>> 0);
}

const SPACE = 32;
const LINE_BREAK = 10;

const isSpace = (code: number): boolean =>
  code === SPACE || (code >= 9 && code <= 13) || (code > 127 && /\s/.test(String.fromCharCode(code)));
