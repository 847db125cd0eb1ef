import * as Plot from "@observablehq/plot";
import { deviation, grouped, mean } from "../studies/statistics.ts";
import type { FreezingRecord } from "../training/training-records.ts";
import { frozenBlockSteps } from "./block-pictures.ts";
import { bins, draw, labelRoom, shortened, width } from "./drawing.ts";
import { inOrder, placer } from "./matrix-places.ts";
import type { Picture, Table } from "./page.ts";
import { counted, duration, number, rangeOf, short, tick } from "./quantities.ts";

/** Approximate maximum number of checks to draw and list. */
const mostChecks = 40;
/** Number of colours of the heat map, and of blocks in their order, in the page's style. */
const shades = 6;
const orders = 4;

/** Label of the axis of blocks. */
const blockLabel = (blocks: readonly string[]): string =>
  blocks.some((block) => block.startsWith("d")) ? "block (e: encoder, d: decoder)" : "block";

/** Step at which each matrix under the schedule froze; null if it has not. */
export function frozenSteps(checks: FreezingRecord[]): Map<string, number | null> {
  const steps = new Map<string, number | null>(
    checks.flatMap(({ scores }) => Object.keys(scores).map((m) => [m, null])),
  );
  for (const { step, frozen } of checks) for (const matrix of frozen) steps.set(matrix, step);
  return steps;
}

/** Shades of the heat map for these sorted values: one per value if they are few, otherwise one per range. */
function shading(values: number[]): { shade: (value: number) => number; swatches: { color: string; label: string }[] } {
  const color = (shade: number) => `var(--heat-${shade})`;
  const distinct = [...new Set(values)];
  if (distinct.length <= shades) {
    const shade = (value: number) =>
      Math.round((distinct.indexOf(value) * (shades - 1)) / Math.max(1, distinct.length - 1));
    return { shade, swatches: distinct.map((value) => ({ color: color(shade(value)), label: number(value) })) };
  }
  const least = distinct[0]!;
  const width = (distinct.at(-1)! - least) / shades;
  return {
    shade: (value) => Math.min(shades - 1, Math.floor((value - least) / width)),
    swatches: Array.from({ length: shades }, (_, k) => ({
      color: color(k),
      label: `${short(least + k * width)} to ${short(least + (k + 1) * width)}`,
    })),
  };
}

/** Draws a value of every matrix as matrix × block, as the paper's figure. */
function heatMap(
  title: string,
  values: ReadonlyMap<string, number | null>,
  words: { summary: string; unit: string; missing: string },
): Picture {
  const place = placer(values.keys());
  const cells = [...values].map(([matrix, value]) => ({ ...place(matrix), value }));
  const blocks = inOrder(cells.map((cell) => cell.block));
  const kinds = [...grouped(cells, (cell) => cell.kind).keys()];
  const known = cells.flatMap(({ value }) => value ?? []).sort((a, b) => a - b);
  const { shade, swatches } = shading(known);
  const missing = known.length < cells.length;
  const fill = (value: number | null) => (value === null ? "var(--never)" : `var(--heat-${shade(value)})`);
  const ink = (value: number | null) => (value === null ? "var(--never-ink)" : `var(--heat-ink-${shade(value)})`);
  const left = labelRoom(kinds);
  // Cells contain numbers if they are wide enough.
  const roomy = (width - left) / blocks.length >= 8 + 6.2 * Math.max(...known.map((value) => number(value).length), 0);
  return {
    title,
    summary: words.summary,
    legend: [...swatches, ...(missing ? [{ color: "var(--never)", label: words.missing }] : [])],
    svg: draw({
      height: 60 + 30 * kinds.length,
      marginLeft: left,
      marginRight: 4,
      padding: 0.06,
      x: {
        label: blockLabel(blocks),
        domain: blocks,
        ticks: blocks.filter((_, i) => i % Math.ceil(blocks.length / 14) === 0),
        tickSize: 0,
      },
      y: { label: null, domain: kinds, tickSize: 0, tickFormat: shortened },
      color: { type: "identity" },
      marks: [
        Plot.cell(cells, {
          x: "block",
          y: "kind",
          fill: ({ value }) => fill(value),
          title: ({ block, kind, value }) =>
            `block ${block}, ${kind}: ${value === null ? words.missing : `${words.unit} ${number(value)}`}`,
        }),
        roomy
          ? Plot.text(cells, {
              x: "block",
              y: "kind",
              text: ({ value }) => (value === null ? "" : number(value)),
              fill: ({ value }) => ink(value),
              fontSize: 11,
            })
          : null,
      ],
    }),
    numbers: {
      caption: `${title}: ${words.unit} of each matrix`,
      columns: ["matrix", ...blocks.map((block) => `block ${block}`)],
      rows: kinds.map((kind) => [
        kind,
        ...blocks.map((block) => {
          const cell = cells.find((cell) => cell.block === block && cell.kind === kind);
          return cell ? (cell.value === null ? words.missing : number(cell.value)) : "";
        }),
      ]),
    },
  };
}

/** Draws the iterations until frozen, matrix × block. @param frozenBlocks step of each block, if blocks may freeze */
function untilFrozen(steps: ReadonlyMap<string, number | null>, frozenBlocks: readonly (number | null)[]): Picture {
  const frozen = [...steps].flatMap(([matrix, step]) => (step === null ? [] : [{ matrix, step }]));
  const first = frozen.reduce((a, b) => (b.step < a.step ? b : a), frozen[0]!);
  const last = frozen.reduce((a, b) => (b.step > a.step ? b : a), frozen[0]!);
  // For an encoder-decoder, only the encoder's blocks may freeze.
  const blocks = frozenBlocks.map((step, block) => [`encoder.${block}.whole block`, step] as const);
  return heatMap("Iterations until frozen", new Map([...steps, ...blocks]), {
    summary: frozen.length
      ? `${frozen.length} of ${counted(steps.size, "matrix", "matrices")} froze, ${first.matrix} first (step ${first.step}) and ${last.matrix} last (step ${last.step}).`
      : `None of ${counted(steps.size, "matrix", "matrices")} has frozen.`,
    unit: "step",
    missing: "not frozen",
  });
}

/** Draws the share that the schedule asks for, r(t), and the share that is frozen. */
function schedule(checks: FreezingRecord[]): Picture {
  const matrices = frozenSteps(checks).size;
  let frozen = 0;
  const points = checks.map((check) => {
    frozen += check.frozen.length;
    return { step: check.step, asked: check.fraction, frozen: frozen / matrices, names: check.frozen, check };
  });
  // Every check at which something froze, and enough of the others to draw the curve.
  const shown = bins(points, 200).flatMap((bin) => bin.filter((point, i) => i === 0 || point.names.length));
  const freezes = points.filter(({ names }) => names.length);
  const compiling = checks.reduce((sum, { compileSeconds }) => sum + compileSeconds, 0);
  const title = "Freezing schedule r(t)";
  return {
    title,
    summary: `By step ${points.at(-1)!.step} the schedule called for ${percent(points.at(-1)!.asked)} and ${percent(frozen / matrices)} of the matrices had frozen, at ${counted(freezes.length, "check")}. Recompiling the step took ${duration(compiling)} in total.`,
    legend: [
      { color: "var(--series-0)", label: "matrices frozen" },
      { color: "var(--series-1)", label: "scheduled, r(t)" },
    ],
    svg: draw({
      height: 240,
      x: { label: "step", domain: [0, points.at(-1)!.step], tickFormat: tick },
      y: { label: "fraction of matrices", domain: [0, 1], tickFormat: "%", grid: true },
      marks: [
        Plot.ruleY([0]),
        Plot.lineY(shown, { x: "step", y: "frozen", stroke: "var(--series-0)", strokeWidth: 2, curve: "step-after" }),
        Plot.lineY(shown, { x: "step", y: "asked", stroke: "var(--series-1)", strokeWidth: 2, strokeDasharray: "5 3" }),
      ],
    }),
    numbers: {
      caption: "Checks at which matrices froze",
      columns: ["step", "scheduled, r(t)", "frozen", "seconds compiling", "matrices"],
      rows: freezes.map(({ step, asked, frozen, names, check }) => [
        number(step),
        percent(asked),
        percent(frozen),
        number(check.compileSeconds),
        names.join(", "),
      ]),
    },
  };
}

const percent = (fraction: number) => `${number(Math.round(fraction * 1000) / 10)} %`;

/** Draws the score of every matrix until it froze, one band per kind of matrix, with the threshold. */
function scores(checks: FreezingRecord[]): Picture {
  const steps = frozenSteps(checks);
  const sampled = bins(checks, mostChecks).map((bin) => bin[0]!);
  const shown = checks.filter((check) => check.frozen.length || sampled.includes(check));
  const place = placer(steps.keys());
  const blocks = inOrder([...steps.keys()].map((matrix) => place(matrix).block));
  const groups = bins(blocks, orders);
  const color = (block: string) => {
    const group = groups.findIndex((group) => group.includes(block));
    return `var(--order-${groups.length > 1 ? Math.round((group * (orders - 1)) / (groups.length - 1)) : 0})`;
  };
  const points = shown.flatMap(({ step, scores }) =>
    Object.entries(scores)
      .filter(([matrix, score]) => score > 0 && step <= (steps.get(matrix) ?? Infinity))
      .map(([matrix, score]) => ({ step, score, matrix, ...place(matrix) })),
  );
  const ends = points.filter(({ matrix, step }) => steps.get(matrix) === step);
  const kinds = [...grouped(points, ({ kind }) => kind).keys()];
  const thresholds = shown.filter(({ threshold }) => threshold !== null && threshold > 0);
  const levels = thresholds.map(({ threshold }) => threshold!);
  const [least, most] = rangeOf(points.map(({ score }) => score));
  const title = "Freezing scores and threshold";
  return {
    title,
    summary: `Scores of ${counted(steps.size, "matrix", "matrices")} over ${counted(checks.length, "check")}, each until it froze (dot), on a logarithmic scale from ${number(least)} to ${number(most)}. ${
      levels.length
        ? `The threshold (dashed) went from ${number(levels[0])} to ${number(levels.at(-1))}.`
        : "No threshold was used."
    }`,
    legend: [
      ...groups.map((group) => ({
        color: color(group[0]!),
        label: group.length > 1 ? `blocks ${group[0]} to ${group.at(-1)}` : `block ${group[0]}`,
      })),
      ...(levels.length ? [{ color: "var(--ink)", label: "threshold (dashed)" }] : []),
    ],
    svg: draw({
      height: 60 + 90 * kinds.length,
      marginTop: 24,
      x: { label: "step", tickFormat: tick },
      y: { label: null, type: "log", grid: true, ticks: 3, tickFormat: (value: number) => value.toExponential(0) },
      fy: { label: null, domain: kinds, axis: null, padding: 0.25 },
      color: { type: "identity" },
      marks: [
        Plot.frame({ strokeOpacity: 0.25 }),
        Plot.lineY(points, {
          x: "step",
          y: "score",
          z: "matrix",
          fy: "kind",
          stroke: ({ block }) => color(block),
          strokeWidth: 1.25,
        }),
        Plot.dot(ends, {
          x: "step",
          y: "score",
          fy: "kind",
          r: 3,
          fill: ({ block }) => color(block),
          title: ({ matrix, step }) => `${matrix} froze at step ${step}`,
        }),
        Plot.lineY(thresholds, { x: "step", y: "threshold", stroke: "var(--ink)", strokeDasharray: "4 3" }),
        Plot.text(kinds, {
          fy: (kind) => kind,
          text: (kind) => kind,
          frameAnchor: "top-left",
          dy: -15,
          fontWeight: "bold",
        }),
      ],
    }),
    numbers: scoreTable(sampled, checks.length, [...steps.keys()]),
  };
}

const scoreTable = (sampled: readonly FreezingRecord[], of: number, matrices: readonly string[]): Table => ({
  caption: `Scores at ${counted(sampled.length, "check")} of ${of}`,
  columns: ["step", "r(t)", "threshold", ...matrices],
  rows: sampled.map(({ step, fraction, threshold, scores }) => [
    number(step),
    percent(fraction),
    number(threshold),
    ...matrices.map((matrix) => number(scores[matrix])),
  ]),
});

/** Minimum number of checks for a picture of the schedule. Tables have fewer. */
export const FEWEST_CHECKS = 3;

/** Pictures that show which matrices froze, when and why; empty if the run has no freezing schedule, or too few checks. */
export function freezingPictures(checks: FreezingRecord[]): Picture[] {
  const steps = frozenSteps(checks);
  if (!steps.size || checks.length < FEWEST_CHECKS) return [];
  const ofMatrices = checks.filter((check) => Object.keys(check.scores).length > 0);
  const scored = ofMatrices.some((check) => Object.values(check.scores).some((score) => score > 0));
  const frozenBlocks = frozenBlockSteps(checks);
  return [untilFrozen(steps, frozenBlocks), schedule(ofMatrices), ...(scored ? [scores(ofMatrices)] : [])];
}

/** Mean freezing pattern of one method on one task over its runs, and its variation between them. */
export function averagePattern(label: string, runs: FreezingRecord[][]): Picture[] {
  const patterns = runs.map(frozenSteps).filter((steps) => steps.size);
  const steps = grouped(
    patterns.flatMap((pattern) => [...pattern]),
    ([matrix]) => matrix,
  );
  if (!steps.size) return [];
  const known = new Map([...steps].map(([matrix, entries]) => [matrix, entries.flatMap(([, step]) => step ?? [])]));
  const summarise = (of: (values: number[]) => number, least: number) =>
    new Map([...known].map(([matrix, values]) => [matrix, values.length >= least ? of(values) : null]));
  const means = summarise((values) => Math.round(mean(values)), 1);
  const spreads = summarise((values) => Math.round(deviation(values) * 10) / 10, 2);
  const never = [...known].filter(([, values]) => values.length < patterns.length).length;
  const seeds = counted(patterns.length, "run");
  const widest = [...spreads].reduce((a, b) => ((b[1] ?? -1) > (a[1] ?? -1) ? b : a));
  const average = heatMap(`Iterations until frozen: ${label}`, means, {
    summary: `Mean over ${seeds} of the step at which each of ${counted(means.size, "matrix", "matrices")} froze${never ? `; ${counted(never, "matrix", "matrices")} did not freeze in every run, and those runs are left out of its mean` : ""}.`,
    unit: "step",
    missing: "never frozen",
  });
  if (patterns.length < 2) return [average];
  return [
    average,
    heatMap(`Spread of iterations until frozen: ${label}`, spreads, {
      summary: `Standard deviation over ${seeds}, in steps${widest[1] === null ? "" : `; widest for ${widest[0]} (${number(widest[1])})`}.`,
      unit: "± steps",
      missing: "froze in fewer than two runs",
    }),
  ];
}
