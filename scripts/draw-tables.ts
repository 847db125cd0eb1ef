import { parseCsv } from "../src/datasets/parse-csv.ts";
import { markdownTable } from "../src/reports/markdown-table.ts";
import { difference } from "../src/reports/quantities.ts";
import { grouped, spreadOf } from "../src/studies/statistics.ts";

interface Score {
  encoder: string;
  task: string;
  metric: string;
  rows: string;
  draw: string;
  setting: string;
  score: number;
}

/** Where a page has the table of a summary by `npm run bench:which-method`, and the setting that the others are compared with. */
const PLACE =
  /(<!-- draws in (studies\/results\/[\w-]+\.csv), beside ([\w =.]+) -->\n)[\s\S]*?(\n<!-- end of draws -->)/g;

/**
 * A page with the tables of its summaries of draws made again.
 * @param read the text of a file of the repository
 */
export function withDraws(page: string, read: (path: string) => string): string {
  return page.replace(
    PLACE,
    (_, start: string, path: string, beside: string, end: string) =>
      `${start}\n${drawTable(read(path), beside)}\n${end}`,
  );
}

/**
 * A table of means over draws: a line for each encoder, task and number of rows, a column for each setting, with its mean difference from
 * the setting `beside` on the same draws ± one standard error. If there are more settings than such lines, each setting has a line. A table
 * with one encoder does not name it.
 */
export function drawTable(csv: string, beside: string): string {
  const scores = scoresIn(csv);
  // A page shows the first columns of a wide table: those with the most scores.
  const others = [...grouped(scores, ({ setting }) => setting)].filter(([setting]) => setting !== beside);
  others.sort(([, a], [, b]) => b.length - a.length);
  const settings = [beside, ...others.map(([setting]) => setting)];
  const severalEncoders = new Set(scores.map(({ encoder }) => encoder)).size > 1;
  const lines = [...grouped(scores, ({ encoder, task, rows }) => [encoder, task, rows].join())].map(([, own]) => {
    const [{ encoder, task, metric, rows }] = own as [Score];
    const byDraw = (setting: string): Map<string, number> =>
      new Map(own.filter((each) => each.setting === setting).map(({ draw, score }) => [draw, score]));
    const reference = byDraw(beside);
    const cells = settings.map((setting) => cellOf(byDraw(setting), setting === beside ? undefined : reference));
    return {
      subject: [...(severalEncoders ? [encoder] : []), `${task} (${metric})`],
      rows,
      draws: reference.size,
      cells,
    };
  });
  if (lines.length >= settings.length) {
    return markdownTable([
      [...(severalEncoders ? ["encoder"] : []), "data", "rows per class", "draws", ...settings],
      ...lines.map(({ subject, rows, draws, cells }) => [...subject, rows, String(draws), ...cells]),
    ]);
  }
  return markdownTable([
    ["setting", ...lines.map(({ subject, rows }) => `${subject.join(", ")}, ${rows} per class`)],
    ...settings.map((setting, i) => [setting, ...lines.map(({ cells }) => cells[i]!)]),
  ]);
}

/** Mean over draws, and the mean difference from a reference on the draws that both have. */
function cellOf(scores: ReadonlyMap<string, number>, reference: ReadonlyMap<string, number> | undefined): string {
  if (scores.size === 0) return "";
  const mean = spreadOf([...scores.values()]).mean.toFixed(3);
  const differences = [...scores].flatMap(([draw, score]) => {
    const other = reference?.get(draw);
    return other === undefined ? [] : [score - other];
  });
  if (differences.length === 0) return mean;
  const { mean: ahead, deviation, count } = spreadOf(differences);
  const error = deviation === undefined ? "" : ` ± ${(deviation / Math.sqrt(count)).toFixed(3)}`;
  return `${mean} (${difference(ahead, 3)}${error})`;
}

function scoresIn(csv: string): Score[] {
  const [heading, ...lines] = parseCsv(csv, "summary").map(({ cells }) => cells);
  return lines.map((cells) => {
    const cell = (name: string): string => cells[heading!.indexOf(name)] ?? "";
    return {
      encoder: cell("encoder"),
      task: cell("task"),
      metric: cell("metric"),
      rows: cell("rows"),
      draw: cell("draw"),
      setting: cell("setting"),
      score: Number(cell("score")),
    };
  });
}
