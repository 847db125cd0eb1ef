import type { Example } from "./example.ts";
import { type Counts, f1Of, precisionOf, recallOf } from "./metrics/metrics.ts";

/** A table about held-out examples that shows where a model is right and where it is wrong, for a report. */
export interface Finding {
  title: string;
  columns: readonly string[];
  /** The most telling rows first. */
  rows: readonly (readonly (string | number)[])[];
  /** Rows that a short report shows (default: all). */
  most?: number;
  /** Numbers to draw as dots, `[true, predicted]`; the table names those that lie furthest apart. */
  points?: readonly (readonly [number, number])[];
}

/** Facts about the kept model's answers to held-out examples, for a run's report. */
export interface RunFindings {
  /** Examples that the tables are about. */
  examples: number;
  /** Scores of the best answer that is the same for all examples. */
  sameAnswer?: Record<string, number>;
  /** Whether training began from a head that was fitted to the frozen model's features. */
  startsFitted: boolean;
  tables: Finding[];
}

export const MOST_SHOWN = 10;

/** Limit on the letters of a text in a table, and on those that are read for it: the rest may be white space. */
const LETTERS = 300;
const LETTERS_READ = 2 * LETTERS;

export function lineOfExample({ text, textPair }: Pick<Example, "text" | "textPair">): string {
  const whole = textPair === undefined ? text : `${text} | ${textPair}`;
  const line = whole.slice(0, LETTERS_READ).replace(/\s+/g, " ").trim();
  return line.length > LETTERS ? `${line.slice(0, LETTERS - 1)}…` : line;
}

export function scoresPerClass(what: string, counts: ReadonlyMap<string, Counts>): Finding {
  const rows = [...counts].map(([name, each]) => {
    const examples = each.truePositives + each.falseNegatives;
    return { f1: f1Of(each), row: [name, examples, ...[precisionOf(each), recallOf(each), f1Of(each)].map(rounded)] };
  });
  return {
    title: `Scores per ${what}, the lowest F1 first`,
    columns: [what, "held out", "precision", "recall", "F1"],
    rows: rows.toSorted((a, b) => a.f1 - b.f1).map(({ row }) => row),
  };
}

export function predictedBesideTrue(
  examples: readonly Pick<Example, "text" | "textPair" | "label">[],
  predicted: readonly number[],
): Finding {
  const points = examples.map(({ label }, i) => [label!, predicted[i]!] as const);
  const order = [...points.keys()].sort((a, b) => distance(points[b]!) - distance(points[a]!));
  return {
    title: "Predicted and true values, largest differences first",
    columns: ["text", "true", "predicted", "difference"],
    rows: order.map((i) => {
      const [truth, found] = points[i]!;
      return [lineOfExample(examples[i]!), ...[truth, found, found - truth].map(rounded)];
    }),
    most: MOST_SHOWN,
    points,
  };
}

interface RankedPair {
  text: string;
  better: string;
  worse: string;
  margin: number;
}

export function wrongPairs(
  title: string,
  columns: readonly [text: string, better: string, worse: string],
  pairs: readonly RankedPair[],
): Finding[] {
  const wrong = pairs.filter(({ margin }) => margin > 0).sort((a, b) => b.margin - a.margin);
  if (wrong.length === 0) return [];
  const rows = wrong.map(({ text, better, worse, margin }) => [
    ...[text, better, worse].map((each) => lineOfExample({ text: each })),
    rounded(margin),
  ]);
  return [{ title, columns: [...columns, "margin"], rows, most: MOST_SHOWN }];
}

const distance = ([truth, found]: readonly [number, number]): number => Math.abs(found - truth);

export const rounded = (value: number): number => Number(value.toFixed(3));
