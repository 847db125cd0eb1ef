import * as Plot from "@observablehq/plot";
import type { FreezingRecord } from "../training/training-records.ts";
import { bins, draw } from "./drawing.ts";
import type { Picture } from "./page.ts";
import { counted, duration, number, rangeOf } from "./quantities.ts";

/** Approximate maximum number of checks to draw and list. */
const mostChecks = 60;
/** Number of colours for blocks in their order, in the page's style. */
const orders = 4;

/** A check of blocks, with the seconds of recompiling the step after it. */
type Check = NonNullable<FreezingRecord["blocks"]> & Pick<FreezingRecord, "step" | "compileSeconds">;

function blockChecks(records: FreezingRecord[]): Check[] {
  return records.flatMap(({ step, blocks, compileSeconds }) =>
    blocks?.scores.length ? [{ ...blocks, step, compileSeconds }] : [],
  );
}

/** Step at which each block froze, from the input side; null if it has not. Empty if no block may freeze. */
export function frozenBlockSteps(records: FreezingRecord[]): (number | null)[] {
  const checks = blockChecks(records);
  const steps: (number | null)[] = (checks[0]?.scores ?? []).map(() => null);
  for (const { step, boundary, frozenBlocks } of checks) steps.fill(step, boundary - frozenBlocks, boundary);
  return steps;
}

const movesOf = (checks: Check[]): Check[] => checks.filter(({ frozenBlocks }) => frozenBlocks > 0);

/** Number of frozen blocks, from each step at which it changed. */
function path(checks: Check[], last: number): { step: number; boundary: number }[] {
  const moves = movesOf(checks).map(({ step, boundary }) => ({ step, boundary }));
  return [{ step: 0, boundary: 0 }, ...moves, { step: last, boundary: checks.at(-1)!.boundary }];
}

/** Axes of a drawing of paths. @param of number of blocks */
const axes = (of: number) => ({
  height: 60 + 22 * of,
  x: { label: "step" },
  y: { label: "blocks frozen", domain: [0, of], ticks: Math.min(of, 12), tickFormat: "d", grid: true },
});

/** Draws the number of frozen blocks over time. */
function boundary(checks: Check[], last: number): Picture {
  const of = checks[0]!.scores.length;
  const moves = movesOf(checks);
  const points = path(checks, last);
  const compiling = moves.reduce((sum, { compileSeconds }) => sum + compileSeconds, 0);
  const frozenBlocks = checks.at(-1)!.boundary;
  return {
    title: "Blocks frozen",
    summary: moves.length
      ? `${frozenBlocks} of ${counted(of, "block")} had frozen by step ${last}, the first at step ${moves[0]!.step}, the last at step ${moves.at(-1)!.step}. Compiling the step again took ${duration(compiling)} in all.`
      : `None of ${counted(of, "block")} has frozen by step ${last}.`,
    svg: draw({
      ...axes(of),
      marks: [
        Plot.areaY(points, {
          x: "step",
          y: "boundary",
          fill: "var(--series-0)",
          fillOpacity: 0.15,
          curve: "step-after",
        }),
        Plot.ruleY([0]),
        Plot.lineY(points, {
          x: "step",
          y: "boundary",
          stroke: "var(--series-0)",
          strokeWidth: 2,
          curve: "step-after",
        }),
      ],
    }),
    numbers: {
      caption: "Checks at which blocks froze",
      columns: ["step", "frozen", "in all", "seconds compiling"],
      rows: moves.map(({ step, frozenBlocks, boundary, compileSeconds }) => [
        number(step),
        number(frozenBlocks),
        number(boundary),
        number(compileSeconds),
      ]),
    },
  };
}

/** Draws the score of each block until it froze, with the threshold. */
function scores(checks: Check[]): Picture {
  const blocks = checks[0]!.scores.map((_, block) => block);
  const groups = bins(blocks, orders);
  const colorOf = (block: number) => {
    const group = groups.findIndex((each) => each.includes(block));
    return `var(--order-${groups.length > 1 ? Math.round((group * (orders - 1)) / (groups.length - 1)) : 0})`;
  };
  const sampled = bins(checks, mostChecks).map((bin) => bin[0]!);
  const shown = checks.filter((check) => check.frozenBlocks > 0 || sampled.includes(check));
  const points = shown.flatMap(({ step, scores }) =>
    scores.flatMap((score, block) => (score === null ? [] : [{ step, block, score }])),
  );
  const ends = shown.flatMap(({ step, boundary, frozenBlocks, scores }) =>
    blocks.slice(boundary - frozenBlocks, boundary).flatMap((block) => {
      const score = scores[block];
      return score == null ? [] : [{ step, block, score }];
    }),
  );
  const thresholds = shown.flatMap(({ step, threshold }) => (threshold === null ? [] : [{ step, threshold }]));
  const [least, most] = rangeOf(points.map(({ score }) => score));
  return {
    title: "Scores of blocks",
    summary: `Scores of ${counted(blocks.length, "block")} over ${counted(checks.length, "check")}, each until it froze (dot), from ${number(least)} to ${number(most)}; a block may freeze below the threshold (dashed), and only after those before it.`,
    legend: [
      ...groups.map((group) => ({
        color: colorOf(group[0]!),
        label: group.length > 1 ? `blocks ${group[0]} to ${group.at(-1)}` : `block ${group[0]}`,
      })),
      { color: "var(--ink)", label: "threshold (dashed)" },
    ],
    svg: draw({
      height: 260,
      x: { label: "step" },
      y: { label: "score", grid: true, zero: true },
      color: { type: "identity" },
      marks: [
        Plot.ruleY([0]),
        Plot.lineY(points, {
          x: "step",
          y: "score",
          z: "block",
          stroke: ({ block }) => colorOf(block),
          strokeWidth: 1.25,
        }),
        Plot.dot(ends, {
          x: "step",
          y: "score",
          r: 3.5,
          fill: ({ block }) => colorOf(block),
          title: ({ block, step }) => `block ${block} froze at step ${step}`,
        }),
        Plot.lineY(thresholds, { x: "step", y: "threshold", stroke: "var(--ink)", strokeDasharray: "4 3" }),
      ],
    }),
    numbers: {
      caption: `Scores at ${counted(shown.length, "check")} of ${checks.length}`,
      columns: ["step", "threshold", ...blocks.map((block) => `block ${block}`)],
      rows: shown.map(({ step, threshold, scores }) => [
        number(step),
        number(threshold),
        ...scores.map((s) => number(s)),
      ]),
    },
  };
}

/** Draws the frozen blocks over time in each run of a setting. */
export function boundaryPaths(
  label: string,
  runs: { seed: number; records: FreezingRecord[]; lastStep: number }[],
): Picture[] {
  const paths = runs.flatMap(({ seed, records, lastStep }) => {
    const checks = blockChecks(records);
    if (checks.length === 0) return [];
    return [{ of: checks[0]!.scores.length, seed, steps: frozenBlockSteps(records), points: path(checks, lastStep) }];
  });
  if (paths.length === 0) return [];
  const of = paths[0]!.of;
  const counts = paths.map(({ points }) => points.at(-1)!.boundary);
  const [least, most] = rangeOf(counts);
  return [
    {
      title: `Blocks frozen: ${label}`,
      summary: `${least === most ? least : `${least} to ${most}`} of ${counted(of, "block")} frozen, a line for each of ${counted(paths.length, "run")}.`,
      svg: draw({
        ...axes(of),
        marks: [
          Plot.ruleY([0]),
          Plot.lineY(
            paths.flatMap(({ seed, points }, run) => points.map((point) => ({ ...point, seed, run }))),
            {
              x: "step",
              y: "boundary",
              z: "run",
              stroke: "var(--series-0)",
              strokeWidth: 1.5,
              strokeOpacity: 0.6,
              curve: "step-after",
            },
          ),
        ],
      }),
      numbers: {
        caption: "Step at which each block froze",
        columns: ["seed", ...Array.from({ length: of }, (_, block) => `block ${block}`)],
        rows: paths.map(({ seed, steps }) => [
          String(seed),
          ...steps.map((step) => (step === null ? "not frozen" : number(step))),
        ]),
      },
    },
  ];
}

/** Pictures of which blocks froze, when and why; empty if no block may freeze. */
export function blockPictures(records: FreezingRecord[], lastStep: number): Picture[] {
  const checks = blockChecks(records);
  if (checks.length === 0) return [];
  const scored = checks.some((check) => check.scores.some((score) => score !== null && score > 0));
  return [boundary(checks, lastStep), ...(scored ? [scores(checks)] : [])];
}
