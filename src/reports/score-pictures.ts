import * as Plot from "@observablehq/plot";
import type { RunRecords } from "../runs/read-run.ts";
import { mean, median } from "../studies/statistics.ts";
import type { PairScores } from "../tasks/metrics/pair-scores.ts";
import { draw } from "./drawing.ts";
import type { Picture, Table } from "./page.ts";
import { number } from "./quantities.ts";

/** Number of queries to list among those that gained and that lost most. */
const NAMED = 10;

/** Number of bins of scores. */
const BINS = 30;

/** Scores of relevant pairs, and of others. */
type Scores = Pick<PairScores, "relevant" | "others">;

/** Names of the two groups of scores: in a sentence, and in a legend. */
interface Sorts {
  relevant: [inSentence: string, label: string];
  others: [inSentence: string, label: string];
}

const OF_QUERIES: Sorts = { relevant: ["Relevant texts", "relevant"], others: ["others", "others"] };
const OF_PAIRS: Sorts = {
  relevant: ["Pairs in the upper half of the labels' range", "upper half"],
  others: ["those in the lower half", "lower half"],
};

/** Readable names of measures, and of the items that they score. */
const MEASURES: Record<PairScores["measure"], { measure: string; what: string; one: string; sorts: Sorts }> = {
  ndcg_at_10: { measure: "NDCG@10", what: "Queries", one: "query", sorts: OF_QUERIES },
  rank_agreement: { measure: "agreement of ranks", what: "Pairs", one: "pair", sorts: OF_PAIRS },
};

/** The part of a run with scores. */
type ScoredRun = Partial<Pick<RunRecords, "scores" | "result">>;

/** Draws the distribution of the validation examples' scores before and after training; empty if there are none yet. */
export function scorePictures(run: ScoredRun): Picture[] {
  const found = beforeAndAfter(run);
  if (!found) return [];
  const { before, after, now } = found;
  return scoreDistributions({ "before training": before, [now]: after }, MEASURES[before.measure].sorts);
}

/** Tables of the validation examples that gained and that lost most; empty if there are no scores yet. */
export function scoreTables(run: ScoredRun): Table[] {
  const found = beforeAndAfter(run);
  if (!found) return [];
  const { before, after, now } = found;
  const { measure, what, one } = MEASURES[before.measure];
  const changes = before.values.map((value, i): Change => {
    const then = after.values[i]!;
    return { gain: then - value, row: [before.texts[i]!, number(value), number(then)] };
  });
  return changeTables(changes, { what, measure, names: [one, "before training", now] });
}

/** Scores at the start and at the best epoch, or at the latest epoch while the run continues. */
function beforeAndAfter({ scores = [], result }: ScoredRun) {
  const before = scores.find(({ epoch }) => epoch === 0);
  const after = result ? scores.find(({ epoch }) => epoch === result.bestEpoch) : scores.at(-1);
  return before && after && after !== before ? { before, after, now: `after epoch ${after.epoch}` } : undefined;
}

/** Distributions of scores, one picture per system. */
export const scoreDistributions = (systems: Readonly<Record<string, Scores>>, sorts = OF_QUERIES): Picture[] =>
  Object.entries(systems).map(([name, scores]) => distribution(name, scores, Object.values(systems), sorts));

function distribution(system: string, { relevant, others }: Scores, all: readonly Scores[], sorts: Sorts): Picture {
  // All systems share an axis, so that they are comparable.
  const values = all.flatMap((scores) => [...scores.relevant, ...scores.others]);
  const [from, to] = values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [1, 0]);
  const size = (to - from || 1) / BINS;
  const shares = (scores: readonly number[]): number[] => {
    const counts = new Array<number>(BINS).fill(0);
    for (const score of scores) counts[Math.min(BINS - 1, Math.floor((score - from) / size))]! += 1 / scores.length;
    return counts;
  };
  const [ofRelevant, ofOthers] = [shares(relevant), shares(others)];
  const points = (found: readonly number[]) => found.map((share, i) => ({ score: from + (i + 0.5) * size, share }));
  const area = (found: readonly number[], color: string) => [
    Plot.areaY(points(found), { x: "score", y: "share", fill: color, fillOpacity: 0.25 }),
    Plot.lineY(points(found), { x: "score", y: "share", stroke: color }),
  ];
  const middle = (scores: number[]): string => (scores.length > 0 ? number(median(scores)) : "–");
  return {
    title: `Scores, ${system}`,
    summary: `${sorts.relevant[0]} have a median score of ${middle(relevant)}, ${sorts.others[0]} of ${middle(others)}${
      relevant.length > 0 && others.length > 0 ? `; their means are ${number(mean(relevant) - mean(others))} apart` : ""
    }.`,
    legend: [
      { color: "var(--series-0)", label: sorts.relevant[1] },
      { color: "var(--series-1)", label: sorts.others[1] },
    ],
    svg: draw({
      height: 220,
      x: { label: "score of two texts" },
      y: { label: "share", grid: true, tickFormat: (share: number) => `${Math.round(100 * share)} %` },
      marks: [...area(ofOthers, "var(--series-1)"), ...area(ofRelevant, "var(--series-0)")],
    }),
    numbers: {
      caption: "Share of scores in each part of the range",
      columns: ["from", sorts.relevant[1], sorts.others[1]],
      rows: ofRelevant.map((share, i) => [number(from + i * size), number(share), number(ofOthers[i])]),
    },
  };
}

/** Change of a query's score, and its row of a table. */
export interface Change {
  gain: number;
  row: (string | number)[];
}

/** Tables of the queries that gained and that lost most. */
export function changeTables(
  changes: readonly Change[],
  { what, measure, names }: { what: string; measure: string; names: string[] },
): Table[] {
  const most = (sign: 1 | -1): Change[] =>
    changes
      .filter(({ gain }) => sign * gain > 0)
      .sort((a, b) => sign * (b.gain - a.gain))
      .slice(0, NAMED);
  const table = (title: string, chosen: Change[]): Table => ({
    caption: chosen.length > 0 ? `${title}, in ${measure}` : `${title}: none`,
    columns: chosen.length > 0 ? names : [],
    rows: chosen.map(({ row }) => row),
  });
  return [table(`${what} that gained most by training`, most(1)), table(`${what} that lost most`, most(-1))];
}

/** Shortens a text for a table. */
export const shortened = (text: string): string => (text.length > 200 ? `${text.slice(0, 199)}…` : text);
