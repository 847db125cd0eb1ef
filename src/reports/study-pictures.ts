import * as Plot from "@observablehq/plot";
import type { Interaction, MainEffect, SettingRow, TaskResults } from "../studies/study-results.ts";
import { draw, labelRoom, shortened } from "./drawing.ts";
import type { Markup, Picture } from "./page.ts";
import { counted, number, rangeOf, short, spread } from "./quantities.ts";
import { bars, dots, settingScores } from "./setting-pictures.ts";
import { tradeOffs } from "./trade-off-pictures.ts";

/** Number of colours of the heat map in the page's style. */
const SHADES = 6;
/** Minimum number of settings for which lines through their values show more than a table. */
const FEWEST_LINES = 4;
/** Maximum number of pairs of factors to draw. */
const MOST_PAIRS = 10;

/** Pictures of one task of a study. */
export function studyPictures(results: TaskResults): Picture[] {
  const { effects, interactions } = results;
  const varying = effects.filter(({ levels }) => levels.length > 1);
  return [
    ...settingScores(results),
    // A single factor is already the settings' name, and a level of a single setting is that setting.
    ...(varying.length > 1 ? varying.filter(areMeans).map((effect) => mainEffect(effect, results)) : []),
    ...interactions
      .filter(isGrid)
      .slice(0, MOST_PAIRS)
      .map((pair) => interaction(pair, results)),
    ...coordinates(results),
    ...tradeOffs(results),
  ];
}

/** Whether levels have at least two settings on average. */
const areMeans = ({ levels }: MainEffect): boolean =>
  levels.reduce((sum, { configurations }) => sum + configurations, 0) >= 2 * levels.length;

/** Whether at least three quarters of the pairs of levels were tried. */
const isGrid = ({ cells }: Interaction): boolean => {
  const [rows, columns] = [0, 1].map((i) => new Set(cells.map(({ levels }) => levels[i])).size);
  return cells.length > 3 && 4 * cells.length >= 3 * rows! * columns!;
};

function mainEffect({ factor, levels }: MainEffect, results: TaskResults): Picture {
  const { task, direction } = results;
  const order = levels.toSorted((a, b) => (direction === "lowest" ? 1 : -1) * (a.score.mean - b.score.mean));
  const [first, last] = [order[0]!, order.at(-1)!];
  const title = `Effect of ${factor}, ${task}`;
  return {
    title,
    summary: `Means over all settings with each value, from ${spread(last.score)} (${last.level}) to ${spread(first.score)} (${first.level}).${bars(first.score.count)}`,
    svg: dots(
      levels.map(({ level, score }) => ({ label: level, part: results.metric, score })),
      {},
    ),
    numbers: {
      caption: title,
      columns: [factor, results.metric, "seeds", "settings"],
      rows: levels.map(({ level, score, configurations }) => [level, spread(score), score.count, configurations]),
    },
  };
}

function interaction({ factors: [a, b], cells }: Interaction, results: TaskResults): Picture {
  const { task, direction } = results;
  const means = cells.map(({ score }) => score.mean);
  const [least, most] = rangeOf(means);
  const shade = (value: number): number =>
    most > least ? Math.min(SHADES - 1, Math.floor(((value - least) / (most - least)) * SHADES)) : 0;
  const rows = [...new Set(cells.map(({ levels }) => levels[0]))];
  const columns = [...new Set(cells.map(({ levels }) => levels[1]))];
  const shown = cells.map(({ levels, score }) => ({
    a: levels[0],
    b: levels[1],
    text: number(Number(score.mean.toPrecision(3))),
    shade: shade(score.mean),
    full: spread(score),
  }));
  const chosen = cells.reduce((x, y) =>
    (direction === "lowest" ? y.score.mean < x.score.mean : y.score.mean > x.score.mean) ? y : x,
  );
  const title = `${a} × ${b}, ${task}`;
  return {
    title,
    summary: `Means over the other factors and seeds, from ${number(least)} to ${number(most)}. The ${direction}, ${spread(chosen.score)}, is at ${a} ${chosen.levels[0]}, ${b} ${chosen.levels[1]}.`,
    legend: Array.from({ length: most > least ? SHADES : 1 }, (_, k) => ({
      color: `var(--heat-${k})`,
      label: `${number(Number((least + (k * (most - least)) / SHADES).toPrecision(3)))} and more`,
    })),
    svg: draw({
      height: 76 + 30 * rows.length,
      marginTop: 24,
      marginLeft: labelRoom([...rows, a]),
      marginRight: 4,
      padding: 0.06,
      x: { label: b, domain: columns, tickSize: 0, tickFormat: shortened },
      y: { label: a, labelAnchor: "top", labelArrow: "none", domain: rows, tickSize: 0, tickFormat: shortened },
      color: { type: "identity" },
      marks: [
        Plot.cell(shown, {
          x: "b",
          y: "a",
          fill: (cell: (typeof shown)[number]) => `var(--heat-${cell.shade})`,
          title: (cell: (typeof shown)[number]) => `${a} ${cell.a}, ${b} ${cell.b}: ${cell.full}`,
        }),
        columns.length <= 8
          ? Plot.text(shown, {
              x: "b",
              y: "a",
              text: "text",
              fill: (cell: (typeof shown)[number]) => `var(--heat-ink-${cell.shade})`,
              fontSize: 11,
            })
          : null,
      ],
    }),
    numbers: {
      caption: title,
      columns: [a, ...columns.map((level) => `${b} ${level}`)],
      rows: rows.map((row) => [
        row,
        ...columns.map((column) => shown.find((cell) => cell.a === row && cell.b === column)?.full ?? "–"),
      ]),
    },
  };
}

/** Draws a line for each configuration through its levels to its score. Unfinished ones have other colours. */
function coordinates(results: TaskResults): Picture[] {
  const { rows, task } = results;
  const factors = [...new Set(rows.flatMap(({ values }) => Object.keys(values)))].filter(
    (name) => new Set(rows.map(({ values }) => values[name])).size > 1,
  );
  const scored = rows.filter(({ score, heldOut }) => score ?? heldOut);
  if (factors.length < 2 || scored.length < FEWEST_LINES) return [];
  const [least, most] = rangeOf(scored.map(scoreOf));
  const place = (value: number): number => (most > least ? (value - least) / (most - least) : 0.5);
  const levels = levelsByFactor(results, factors);
  const at = (name: string, level: string): number => {
    const all = levels.get(name)!;
    return all.length > 1 ? all.indexOf(level) / (all.length - 1) : 0.5;
  };
  const score = results.metric;
  const color = (row: SettingRow): string =>
    END_COLORS[endOf(row)] ?? `var(--heat-${1 + Math.round(place(scoreOf(row)) * (SHADES - 2))})`;
  const points = scored.flatMap((row): LinePoint[] => [
    ...factors.flatMap((name) => {
      const level = row.values[name];
      return level === undefined ? [] : [{ axis: name, y: at(name, level), row }];
    }),
    { axis: score, y: place(scoreOf(row)), row },
  ]);
  const ticks = factors.flatMap((name) =>
    labelled(levels.get(name)!).map((level) => ({ axis: name, y: at(name, level), level: shortened(level) })),
  );
  const ends = [
    { axis: score, y: 0, level: short(least) },
    { axis: score, y: 1, level: short(most) },
  ];
  const present = [...new Set(scored.map(endOf))];
  const title = `All settings, ${task}`;
  return [
    {
      title,
      summary: `Each of ${counted(scored.length, "setting")} is a line through its values to its ${score}, from ${number(least)} to ${number(most)}. The stronger a line, the higher its score.`,
      legend: present.map((name) => ({ color: END_COLORS[name] ?? "var(--heat-4)", label: name })),
      svg: drawLines([...factors, score], points, [...ticks, ...ends], color),
      numbers: {
        caption: title,
        columns: ["setting", score, "ended", "epochs"],
        rows: scored.map((row) => [row.setting, spread((row.score ?? row.heldOut)!), endOf(row), row.epochs]),
      },
    },
  ];
}

/** Point of a setting's line on an axis. */
interface LinePoint {
  axis: string;
  y: number;
  row: SettingRow;
}

const scoreOf = ({ score, heldOut }: SettingRow): number => (score ?? heldOut)!.mean;

const endOf = ({ trials: { failed, pruned, open } }: SettingRow): string =>
  failed > 0 ? "failed" : pruned > 0 ? "pruned" : open > 0 ? "open" : "finished";

const END_COLORS: Readonly<Record<string, string>> = {
  pruned: "var(--series-1)",
  failed: "var(--series-3)",
  open: "var(--muted)",
};

function levelsByFactor({ effects, rows }: TaskResults, factors: readonly string[]): Map<string, readonly string[]> {
  return new Map(
    factors.map((name) => {
      const listed = effects.find(({ factor }) => factor === name)?.levels.map(({ level }) => level) ?? [];
      return [name, inOrder([...new Set([...listed, ...rows.flatMap(({ values }) => values[name] ?? [])])])];
    }),
  );
}

/** Draws lines through points on parallel axes. @param levels labels of the axes' levels */
function drawLines(
  axes: string[],
  points: LinePoint[],
  levels: { axis: string; y: number; level: string }[],
  color: (row: SettingRow) => string,
): Markup {
  // Too many names side by side would overlap.
  const crowded = axes.length > 5;
  return draw({
    height: crowded ? 340 : 280,
    marginLeft: crowded ? 80 : 50,
    marginRight: 50,
    marginBottom: crowded ? 90 : 30,
    x: {
      type: "point",
      domain: axes,
      label: null,
      padding: crowded ? 0.1 : 0.5,
      tickSize: 0,
      tickFormat: shortened,
      tickRotate: crowded ? -35 : 0,
    },
    y: { axis: null, domain: [-0.05, 1.05] },
    color: { type: "identity" },
    marks: [
      Plot.ruleX(axes, { strokeOpacity: 0.3 }),
      Plot.line(points, {
        x: "axis",
        y: "y",
        z: ({ row }: LinePoint) => row.setting,
        stroke: ({ row }: LinePoint) => color(row),
        strokeWidth: 1.5,
        title: ({ row }: LinePoint) => `${row.setting}: ${number(scoreOf(row))}, ${endOf(row)}`,
      }),
      Plot.text(levels, {
        x: "axis",
        y: "y",
        text: "level",
        textAnchor: "start",
        dx: 4,
        fontSize: crowded ? 9 : 11,
        stroke: "var(--page)",
        fill: "var(--ink)",
      }),
    ],
  });
}

/** Maximum number of labels of a numeric axis: more would overlap. */
const LABELS = 6;

const areNumbers = (levels: readonly string[]): boolean => levels.every((level) => Number.isFinite(Number(level)));

/** Sorts numbers by value; other levels stay in the study's order. */
function inOrder(levels: readonly string[]): readonly string[] {
  return areNumbers(levels) ? levels.toSorted((a, b) => Number(a) - Number(b)) : levels;
}

/** Levels with a label: for many numbers some, evenly spread, including the minimum and maximum. */
function labelled(levels: readonly string[]): readonly string[] {
  if (!areNumbers(levels) || levels.length <= LABELS) return levels;
  return Array.from({ length: LABELS }, (_, i) => levels[Math.round((i * (levels.length - 1)) / (LABELS - 1))]!);
}
