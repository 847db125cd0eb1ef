import { ranks, spearman } from "../tasks/metrics/metrics.ts";
import type { ScoredTrial } from "./scored-trial.ts";
import { grouped, mean, type Spread, spreadOf } from "./statistics.ts";

/** Order in which a setting's matrices froze, and how far its seeds agree. */
export interface FreezingOrder {
  label: string;
  runs: number;
  /** Spearman's rank correlation of the order between every two seeds; undefined for one seed. */
  betweenSeeds?: Spread;
  /** Time at which each kind of matrix froze: mean place in the order (0 first, 1 last) over blocks, spread over seeds. */
  kinds: { kind: string; place: Spread }[];
}

export interface OrderAgreement {
  labels: readonly [string, string];
  correlation: number;
}

export function freezingOrders(trials: readonly ScoredTrial[]): {
  orders: FreezingOrder[];
  agreements: OrderAgreement[];
} {
  const finished = trials.filter(({ status }) => status === "finished");
  const byLabel = grouped(finished, ({ setting, task }) => `${setting} on ${task}`);
  const known = [...byLabel].flatMap(([label, of]) => {
    const places = of.flatMap(({ records }) => placesOf(records!.result!.frozenAtStep) ?? []);
    return places.length > 0 ? [{ label, places }] : [];
  });
  const orders = known.map(({ label, places }): FreezingOrder => {
    const correlations = pairs(places).flatMap(([a, b]) => correlationOf(a, b) ?? []);
    return {
      label,
      runs: places.length,
      ...(correlations.length > 0 && { betweenSeeds: spreadOf(correlations) }),
      kinds: kindsOf(places),
    };
  });
  const agreements = pairs(known).flatMap(([a, b]) => {
    const correlation = correlationOf(meanPlaces(a.places), meanPlaces(b.places));
    return correlation === undefined ? [] : [{ labels: [a.label, b.label] as const, correlation }];
  });
  return { orders, agreements };
}

/** Place of each matrix in the freezing order, from 0 to 1; undefined if none froze, or all at the same step. */
function placesOf(frozenAtStep: Readonly<Record<string, number | null>>): Map<string, number> | undefined {
  // Matrices that never froze come last.
  const steps = Object.values(frozenAtStep).map((step) => step ?? Number.POSITIVE_INFINITY);
  if (new Set(steps).size < 2) return undefined;
  const places = ranks(steps);
  return new Map(Object.keys(frozenAtStep).map((name, i) => [name, (places[i]! - 1) / (steps.length - 1)]));
}

function correlationOf(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): number | undefined {
  const names = [...a.keys()];
  if (names.length !== b.size || !names.every((name) => b.has(name))) return undefined;
  const correlation = spearman(
    names.map((name) => a.get(name)!),
    names.map((name) => b.get(name)!),
  );
  return Number.isFinite(correlation) ? correlation : undefined;
}

function meanPlaces(places: readonly ReadonlyMap<string, number>[]): Map<string, number> {
  return new Map([...places[0]!.keys()].map((name) => [name, mean(places.map((of) => of.get(name) ?? Number.NaN))]));
}

/** `intermediate.dense.A` for `encoder.layer.3.intermediate.dense.A`. */
const kindOf = (name: string): string => /\.\d+\.(.+)$/.exec(name)?.[1] ?? name;

function kindsOf(places: readonly ReadonlyMap<string, number>[]): FreezingOrder["kinds"] {
  const bySeed = places.map((of) => grouped(of, ([name]) => kindOf(name)));
  return [...bySeed[0]!.keys()]
    .map((kind) => ({
      kind,
      place: spreadOf(bySeed.map((of) => mean((of.get(kind) ?? []).map(([, place]) => place)))),
    }))
    .toSorted((a, b) => a.place.mean - b.place.mean);
}

function pairs<T>(items: readonly T[]): [T, T][] {
  return items.flatMap((a, i) => items.slice(i + 1).map((b): [T, T] => [a, b]));
}
