/** Number of characters in a piece. Texts are compared by their pieces. */
const PIECE = 5;
/** Number of bands, and of hashes in a band. Texts that share most pieces agree in some band; those that share few seldom do. */
const BANDS = 16;
const HASHES = 4;
/** Minimum share of common pieces of near duplicates. */
const ALIKE = 0.8;
/** Number of rows in a band to compare a row with. If a text occurs a thousand times, its nearest copies are enough. */
const COMPARED = 20;

/** Two similar rows. `share` is the share of common pieces; 1 if they differ at most in case and punctuation. */
export interface NearDuplicate {
  row: number;
  of: number;
  share: number;
}

/**
 * Finds rows whose texts nearly equal an earlier one, by common pieces of five letters (Jaccard's index). Ignores case, spaces and
 * punctuation. MinHash (Broder 1997) finds the candidates, so that the time grows with the number of rows.
 * @returns for each such row, the most similar earlier row
 */
export function nearDuplicates(texts: readonly string[]): NearDuplicate[] {
  const buckets = Array.from({ length: BANDS }, () => new Map<string, number[]>());
  const pieces = texts.map(piecesOf);
  const found: NearDuplicate[] = [];
  for (const [row, own] of pieces.entries()) {
    if (own.size === 0) continue;
    const candidates = new Set<number>();
    for (const [band, key] of bandsOf(own).entries()) {
      const there = buckets[band]!.get(key) ?? [];
      for (const each of there.slice(-COMPARED)) candidates.add(each);
      there.push(row);
      buckets[band]!.set(key, there);
    }
    let best: NearDuplicate | undefined;
    for (const of of [...candidates].sort((a, b) => a - b)) {
      const share = sharedPart(own, pieces[of]!);
      if (share >= ALIKE && share > (best?.share ?? 0)) best = { row, of, share };
    }
    if (best) found.push(best);
  }
  return found;
}

/** Hashes of the distinct pieces of a text's letters and digits. A text shorter than a piece is one piece. */
function piecesOf(text: string): Set<number> {
  const plain = text
    .normalize("NFKC")
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, " ")
    .trim();
  if (plain === "") return new Set();
  const count = Math.max(1, plain.length - PIECE + 1);
  return new Set(Array.from({ length: count }, (_, i) => hashOf(plain, i, i + PIECE)));
}

/** FNV-1a hash of a part of a text. */
function hashOf(text: string, from: number, to: number): number {
  let hash = 0x811c9dc5;
  for (let i = from; i < Math.min(to, text.length); i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** Minima of each band's hashes. They are equal for two texts with the probability that they share pieces. */
function bandsOf(pieces: ReadonlySet<number>): string[] {
  const least = new Uint32Array(BANDS * HASHES).fill(0xffffffff);
  for (const piece of pieces) {
    for (let i = 0; i < least.length; i++) {
      const value = mixed(piece, i);
      if (value < least[i]!) least[i] = value;
    }
  }
  return Array.from({ length: BANDS }, (_, band) => least.subarray(band * HASHES, (band + 1) * HASHES).join());
}

/** Hash of a hash, different for each `seed`: the last steps of MurmurHash3. */
function mixed(value: number, seed: number): number {
  let hash = Math.imul(value ^ Math.imul(seed + 1, 0x9e3779b1), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function sharedPart(a: ReadonlySet<number>, b: ReadonlySet<number>): number {
  const [small, large] = a.size < b.size ? [a, b] : [b, a];
  let shared = 0;
  for (const piece of small) if (large.has(piece)) shared++;
  return shared / (a.size + b.size - shared);
}
