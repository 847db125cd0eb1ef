/**
 * Makes docs/pictures/house-*.svg, the rooms of src/ as floors, from the table in docs/architecture.md:
 *
 *     npx tsx scripts/make-house-picture.ts
 */
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { style } from "../src/reports/page.ts";
import { colorsOf, THEMES } from "./themed-picture.ts";

/** Floors from the top, each with the first of its rooms in the table. */
const FLOORS = [
  { name: "Commands, servers, pages", first: "serving" },
  { name: "Runs on disk", first: "runs" },
  { name: "Training and answers", first: "training" },
  { name: "Model, method, data", first: "checkpoints" },
  { name: "Computation", first: "files" },
];
const [WIDTH, NAME, FLOOR, GAP, SIZE] = [880, 215, 58, 10, 14];

const docs = (path: string) => fileURLToPath(new URL(`../docs/${path}`, import.meta.url));
const table = await readFile(docs("architecture.md"), "utf8");
const rooms = [...table.matchAll(/^\| `([\w-]+)\/` \|/gm)].map(([, room]) => room!);

for (const theme of THEMES) {
  const colors = colorsOf(style, theme);
  const [ink, page, line] = ["ink", "page", "muted"].map((name) => colors.get(name) ?? "#888");
  const height = FLOORS.length * (FLOOR + GAP) + GAP;
  const floors = FLOORS.map(({ name, first }, i) => {
    const end = i === 0 ? rooms.length : rooms.indexOf(FLOORS[i - 1]!.first);
    const own = rooms.slice(rooms.indexOf(first), end);
    const y = GAP + i * (FLOOR + GAP);
    const width = (WIDTH - NAME - GAP) / own.length;
    const text = (x: number, label: string, more = "") =>
      `<text x="${x}" y="${y + FLOOR / 2 + SIZE / 3}" font-size="${SIZE}" fill="${ink}"${more}>${label}</text>`;
    const boxes = own.map((room, j) => {
      const x = NAME + j * width;
      const box = `<rect x="${x}" y="${y}" width="${width - GAP}" height="${FLOOR}" rx="6" fill="none" stroke="${line}"/>`;
      return box + text(x + (width - GAP) / 2, `${room}/`, ' text-anchor="middle"');
    });
    return text(GAP, name) + boxes.join("");
  });
  await writeFile(
    docs(`pictures/house-${theme}.svg`),
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif">
<rect width="${WIDTH}" height="${height}" fill="${page}"/>
${floors.join("\n")}
</svg>
`,
  );
}
