/**
 * Makes docs/pictures/, the README's pictures, from the demo's own run and what a terminal showed of it:
 *
 *     script -qec "stty cols 100; npx aflora demo" demo.log
 *     npx tsx scripts/make-pictures.ts runs/demo/aflora demo.log
 *
 * Each in two files, for light and dark. Needs a Chromium for the page's.
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { freezingPictures } from "../src/reports/freezing-pictures.ts";
import { renderReport } from "../src/reports/report.ts";
import { readFinishedRun } from "../src/runs/read-run.ts";
import { Screen } from "../test/cli/screen.ts";
import { launchChromium } from "../test/support/chromium.ts";
import { colorsOf, THEMES, themedSvg } from "./themed-picture.ts";

const COLUMNS = 100;
/** What the terminal shows is that of this step: all has frozen, the bar is on its way. */
const SHOWN_STEP = 220;
const PAGE = { width: 1000, height: 505 };

const [runFolder, log] = process.argv.slice(2);
if (!runFolder || !log) {
  console.error("usage: npx tsx scripts/make-pictures.ts RUN_FOLDER TERMINAL_LOG");
  process.exit(2);
}
const pictures = fileURLToPath(new URL("../docs/pictures", import.meta.url));
await mkdir(pictures, { recursive: true });
const run = await readFinishedRun(runFolder);
const report = renderReport([run]);
const rows = shownRows(await readFile(log, "utf8"));
for (const theme of THEMES) {
  const colors = colorsOf(report, theme);
  const { svg } = freezingPictures(run.freezing)[0]!;
  await writeFile(join(pictures, `frozen-${theme}.svg`), themedSvg(svg.text, colors));
  await writeFile(join(pictures, `terminal-${theme}.svg`), terminal(colors));
}
await photographPage();

/** What a terminal shows at that step, from the line that the run begins with. */
function shownRows(output: string): string[] {
  const until = output.indexOf("\n", output.indexOf(` ${SHOWN_STEP}/`)) + 1;
  const rest = output.slice(until);
  // The line under the bar ends where the next drawing begins.
  const { rows } = new Screen(COLUMNS).write(output.slice(0, until) + rest.slice(0, rest.indexOf("\x1b")));
  return rows.slice(rows.findLastIndex((row) => row.startsWith("aflora on ")));
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

/** The top of the run's page, as a browser shows it. */
async function photographPage(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "aflora-pictures-"));
  const file = join(folder, "report.html");
  await writeFile(file, report);
  const browser = await launchChromium();
  for (const theme of THEMES) {
    const page = await browser.newPage({ viewport: PAGE, colorScheme: theme });
    await page.goto(pathToFileURL(file).href);
    await page.screenshot({ path: join(pictures, `page-${theme}.png`) });
  }
  await browser.close();
  await rm(folder, { recursive: true });
}
