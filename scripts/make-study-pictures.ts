/**
 * Makes docs/results/pictures/ from the pages of the studies that ship, each in two files, for light and dark:
 *
 *     npx tsx scripts/make-study-pictures.ts STUDIES_FOLDER
 *
 * STUDIES_FOLDER has a folder for each study, as `aflora study` writes it; studies that are missing are left out.
 */
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseHTML } from "linkedom";
import { colorsOf, THEMES, themedSvg } from "./themed-picture.ts";

/** Pictures by study: the name of the file, and the title on the page. */
const PICTURES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "lora-and-aflora-cola": {
    "lora-and-aflora-cola": "Score and trainable parameters, cola",
    "lora-and-aflora-frozen-cola": "Iterations until frozen: aflora, later on cola",
  },
};

const [folder] = process.argv.slice(2);
if (!folder) {
  console.error("usage: npx tsx scripts/make-study-pictures.ts STUDIES_FOLDER");
  process.exit(2);
}
const pictures = fileURLToPath(new URL("../docs/results/pictures", import.meta.url));
await mkdir(pictures, { recursive: true });
for (const [study, wanted] of Object.entries(PICTURES)) {
  const file = join(folder, study, "report.html");
  if (!existsSync(file)) continue;
  const page = await readFile(file, "utf8");
  const { document } = parseHTML(page);
  const figures = [...document.querySelectorAll("figure")];
  for (const [name, title] of Object.entries(wanted)) {
    const found = figures.find((figure) => figure.querySelector("h2")?.textContent === title);
    const svg = found?.querySelector("svg");
    if (!svg) throw new Error(`${file} has no picture "${title}"`);
    for (const theme of THEMES)
      await writeFile(join(pictures, `${name}-${theme}.svg`), themedSvg(svg.outerHTML, colorsOf(page, theme)));
  }
}
