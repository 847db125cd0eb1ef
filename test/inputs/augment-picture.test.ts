import { expect, test } from "vitest";
import { type Augmentation, augmentPicture } from "../../src/inputs/augment-picture.ts";
import { variantOf } from "../../src/training/dropout/dropout.ts";
import { madePicture } from "../support/pictures.ts";

/** Gets brighter from left to right and from top to bottom. */
const slope = { height: 20, width: 30, data: new Uint8Array(20 * 30 * 3) };
for (let i = 0; i < 600; i++) slope.data.fill(7 * (i % 30) + 2 * Math.floor(i / 30), 3 * i, 3 * i + 3);

const variants = Array.from({ length: 200 }, (_, i) => Math.imul(i + 1, 0x9e3779b9));
/** Difference along the middle row. */
const riseOf = ({ data }: { data: Uint8Array }): number => data[3 * (10 * 30 + 29)]! - data[3 * 10 * 30]!;
const risesOf = (augmentation: Augmentation) =>
  variants.map((each) => riseOf(augmentPicture(slope, each, augmentation)));

test("variants are reproducible, of the picture's size, and different from each other", () => {
  const picture = madePicture(17, 23, 3);
  const all = variants.map((variant) => augmentPicture(picture, variant, "crop-and-flip"));
  expect(all[7]).toEqual(augmentPicture(picture, variants[7]!, "crop-and-flip"));
  for (const { height, width, data } of all) expect([height, width, data.length]).toEqual([23, 17, 23 * 17 * 3]);
  expect(new Set(all.map(({ data }) => data.join())).size).toBeGreaterThan(150);
  expect(augmentPicture(picture, 5, "none")).toBe(picture);
});

test("crops have at least half of the area, and half of them are mirrored on request", () => {
  const rises = risesOf("crop");
  // The whole picture rises by 203, the narrowest crop by 0.6 of that.
  expect(Math.min(...rises)).toBeGreaterThan(110);
  expect(Math.max(...rises)).toBeLessThanOrEqual(203);
  const mirrored = risesOf("crop-and-flip").filter((rise) => rise < 0);
  expect(mirrored.length).toBeGreaterThan(75);
  expect(mirrored.length).toBeLessThan(125);
  expect(risesOf("crop-and-flip").map(Math.abs)).toEqual(rises);
});

test("a step's variant depends on the seed, the step and the example", () => {
  const all = [variantOf(1, 2, 3), variantOf(2, 2, 3), variantOf(1, 3, 3), variantOf(1, 2, 4)];
  expect(new Set(all).size).toBe(4);
  expect(variantOf(1, 2, 3)).toBe(all[0]);
});
