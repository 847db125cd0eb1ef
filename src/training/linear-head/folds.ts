import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";

export interface RowGroups {
  /** `[rows]`: rows of one group, such as the tokens of an example, go into one fold (default: each row is a group). */
  groups?: ArrayLike<number> | undefined;
  /** `[rows]`: the class of each row; each fold gets its share of each class (default: one class). */
  strata?: ArrayLike<number> | undefined;
}

const SEED = 0;

/** Deals rows into folds several times, with a new draw each time. */
export function drawFolds(
  order: Int32Array,
  { groups, strata }: RowGroups,
  { folds, draws }: { folds: number; draws: number },
): Int32Array[] {
  const groupOf = (row: number): number => groups?.[row] ?? row;
  const members = new Map<number, Set<number>>();
  const met = new Set<number>();
  for (const row of order) {
    if (met.has(groupOf(row))) continue;
    met.add(groupOf(row));
    const stratum = strata?.[row] ?? 0;
    members.set(stratum, (members.get(stratum) ?? new Set()).add(groupOf(row)));
  }
  const random = xoroshiro128plus(SEED);
  const dealt = [...members].sort(([a], [b]) => a - b).map(([, own]) => [...own]);
  return Array.from({ length: draws }, () => {
    const foldOf = new Map<number, number>();
    let next = 0;
    for (const own of dealt) {
      shuffle(own, random);
      // Dealing continues where the stratum before ended, so that folds have equal sizes.
      for (const group of own) foldOf.set(group, own.length === 1 ? -1 : next++ % folds);
    }
    return Int32Array.from(order, (row) => foldOf.get(groupOf(row))!);
  });
}

/** Returns about `most` rows, or all if there are no more: each stratum gives its share, and one group at least. */
export function sampleRows(order: Int32Array, groups: RowGroups, most: number): Int32Array {
  if (order.length <= most) return order;
  const [foldOf] = drawFolds(order, groups, { folds: Math.ceil(order.length / most), draws: 1 });
  const stratumOf = (row: number): number => groups.strata?.[row] ?? 0;
  const chosen = order.filter((_, place) => foldOf![place]! <= 0);
  const met = new Set(Array.from(chosen, stratumOf));
  const missed = new Map<number, number>();
  for (const row of order) {
    const stratum = stratumOf(row);
    if (!met.has(stratum) && !missed.has(stratum)) missed.set(stratum, groups.groups?.[row] ?? row);
  }
  if (missed.size === 0) return chosen;
  const added = new Set(missed.values());
  return order.filter((row, place) => foldOf![place]! <= 0 || added.has(groups.groups?.[row] ?? row));
}

/** Fisher and Yates. */
function shuffle(items: number[], random: ReturnType<typeof xoroshiro128plus>): void {
  for (let i = items.length - 1; i > 0; i--) {
    const j = uniformInt(random, 0, i);
    [items[i], items[j]] = [items[j]!, items[i]!];
  }
}
