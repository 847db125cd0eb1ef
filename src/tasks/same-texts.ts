import type { Example } from "./example.ts";
import type { List } from "./list.ts";

/** Texts of an example. */
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

/** Hash of an example's texts, the same if only spaces differ. */
export function textsHash({ text, textPair, texts = [], messages }: Texts): number {
  const whole = messages ? JSON.stringify(messages) : text;
  return hashOf([whole, textPair ?? "", ...texts].map((each) => each.replace(/\s+/g, " ").trim()).join("\n"));
}

/** cyrb53 (bryc, public domain): a hash of 53 bits. */
function hashOf(text: string): number {
  let [high, low] = [0xdeadbeef, 0x41c6ce57];
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    high = Math.imul(high ^ code, 2654435761);
    low = Math.imul(low ^ code, 1597334677);
  }
  high = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909);
  low = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(high ^ (high >>> 13), 3266489909);
  return 4294967296 * (2097151 & low) + (high >>> 0);
}
