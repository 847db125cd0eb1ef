/**
 * Draws regular polygons of 3 to 7 sides, of any place, size, angle and colours, among lines of no meaning: pictures of five classes
 * to learn, a folder for each, always the same ones for a seed.
 *
 *     npx tsx bench/polygons.ts FOLDER [COUNT] [SEED]
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { Random } from "./random.ts";

const SIZE = 224;
const NAMES = ["triangle", "square", "pentagon", "hexagon", "heptagon"];

const colour = (random: Random): string =>
  `hsl(${random.between(0, 360)} ${random.between(30, 90)}% ${random.between(25, 75)}%)`;

/** An SVG. */
function polygon(random: Random, sides: number): string {
  const radius = random.between(28, 70);
  const [x, y] = random.list(2, radius, SIZE - radius) as [number, number];
  const turn = random.between(0, 2 * Math.PI);
  const corners = Array.from({ length: sides }, (_, i) => turn + (2 * Math.PI * i) / sides);
  const points = corners.map((angle) => `${x + radius * Math.cos(angle)},${y + radius * Math.sin(angle)}`);
  const lines = Array.from({ length: 6 }, () => {
    const [x1, y1, x2, y2] = random.list(4, 0, SIZE);
    return `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" stroke="${colour(random)}" stroke-width="2"/>`;
  });
  const ground = `<rect width="100%" height="100%" fill="${colour(random)}"/>`;
  const shape = `<polygon points="${points.join(" ")}" fill="${colour(random)}"/>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${SIZE}" height="${SIZE}">${[ground, ...lines, shape].join("")}</svg>`;
}

const [folder = "polygons", count = "40", seed = "7"] = process.argv.slice(2);
const random = new Random(Number(seed));
for (const [i, name] of NAMES.entries()) {
  await mkdir(join(folder, name), { recursive: true });
  for (let each = 0; each < Number(count); each++) {
    await sharp(Buffer.from(polygon(random, i + 3)))
      .png()
      .toFile(join(folder, name, `${each}.png`));
  }
}
