/**
 * Makes docs/pictures/, from the demo's runs and what a terminal showed of them:
 *
 *     script -qec "stty cols 100; npx aflora demo --freezing" demo.log
 *     npx tsx scripts/make-pictures.ts runs/demo demo.log
 *
 * Each in two files, for light and dark. Needs a Chromium for the pages.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freezingPictures } from "../src/reports/freezing-pictures.ts";
import { renderReport } from "../src/reports/report.ts";
import { readFinishedRun } from "../src/runs/read-run.ts";
import { Screen } from "../test/cli/screen.ts";
import { photographPages } from "./photograph-pages.ts";
import { colorsOf, THEMES, themedSvg } from "./themed-picture.ts";

const COLUMNS = 100;

const [demo, log] = process.argv.slice(2);
if (!demo || !log) {
  console.error("usage: npx tsx scripts/make-pictures.ts DEMO_FOLDER TERMINAL_LOG");
  process.exit(2);
}
const pictures = fileURLToPath(new URL("../docs/pictures", import.meta.url));
await mkdir(pictures, { recursive: true });
const run = await readFinishedRun(join(demo, "freezing"));
const report = renderReport([run]);
const rows = shownRows(await readFile(log, "utf8"));
for (const theme of THEMES) {
  const colors = colorsOf(report, theme);
  const { svg } = freezingPictures(run.freezing)[0]!;
  await writeFile(join(pictures, `frozen-${theme}.svg`), themedSvg(svg.text, colors));
  await writeFile(join(pictures, `terminal-${theme}.svg`), terminal(colors));
}
await photographPages(report, pictures);

/** What a terminal shows of the first model: its rows, its score, its answers and its mistakes. */
function shownRows(output: string): string[] {
  const { rows } = new Screen(COLUMNS).write(output);
  const first = rows.findIndex((row) => row.includes(" support tickets, "));
  return rows.slice(first, rows.findIndex((row) => row.startsWith("Report: ")) - 1);
}

function terminal(colors: ReadonlyMap<string, string>): string {
  const [size, line, room] = [13, 19, 16];
  const [width, height] = [Math.ceil(COLUMNS * size * 0.602) + 2 * room, (rows.length + 1) * line + 2 * room];
  const shown = ["$ npx aflora demo", ...rows].map((row, i) => {
    const escaped = row.replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`);
    return `<text x="${room}" y="${room + (i + 0.75) * line}" xml:space="preserve">${escaped}</text>`;
  });
  const font = `font-family="ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="${size}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" viewBox="0 0 ${width} ${height}">
<rect width="${width}" height="${height}" rx="8" fill="${colors.get("page")}" stroke="${colors.get("rule")}"/>
<g fill="${colors.get("ink")}" ${font}>
${shown.join("\n")}
</g></svg>
`;
}
