/** Characters of a piece by which texts are compared. */
const PIECE = 5;
/** Bands of hashes, and hashes of a band: texts that share most pieces agree in some band, those that share few seldom do. */
const BANDS = 16;
const HASHES = 4;
/** Share of the pieces of both that near duplicates have in common. */
const ALIKE = 0.8;
/** Rows of one band that are compared with a row: of a text that stands a thousand times, its neighbours are enough. */
const COMPARED = 20;

/** Two rows that say nearly the same; `share` of their pieces are in both, 1 where they differ in case and punctuation at most. */
export interface NearDuplicate {
  row: number;
  /** A row before it. */
  of: number;
  share: number;
}

/**
 * Rows whose texts nearly equal one before them, by the pieces of five letters that they share (Jaccard's index), whatever the case,
 * the spaces and the punctuation. Candidates are found by MinHash (Broder 1997), so that time grows with the number of rows.
 * @returns for each such row the one before it that is most alike
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

/** Hashes of the different pieces of a text's letters and digits; a text that is shorter than a piece is one. */
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

/** FNV-1a of a part of a text. */
function hashOf(text: string, from: number, to: number): number {
  let hash = 0x811c9dc5;
  for (let i = from; i < Math.min(to, text.length); i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** For each band the least values of its hashes, which are the same for two texts as often as they share pieces. */
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

/** A hash of a hash, another for each `seed`: the last steps of MurmurHash3. */
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
