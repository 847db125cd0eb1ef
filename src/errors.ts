/**
 * A mistake that the user can mend: one clear sentence that names what, where and what to do.
 * The command line prints the message alone and exits with code 2.
 */
export class UserError extends Error {
  override name = "UserError";
}

/** The closest of `candidates` to `word`, as `; did you mean "x"?`, or nothing where none is close. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  let best = "";
  // A word of which no letter would be left is no misspelling.
  let bestDistance = Math.min(Math.max(2, Math.floor(word.length / 3)) + 1, word.length);
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best ? `; did you mean "${best}"?` : "";
}

/** Levenshtein distance between two words. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}
