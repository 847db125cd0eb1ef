import { expect, test } from "vitest";
import { normal, randomFor } from "../../src/methods/initializers.ts";
import { PACKED_FORMATS, packedSize, packRows, unpackRows } from "../../src/training/frozen-blocks/packed-rows.ts";

const WIDTH = 48;
const rows = normal(1)([5, WIDTH], randomFor(1, "rows")).data;
// One outlier in a row, and a row of zeros.
rows[3] = -40;
rows.fill(0, 2 * WIDTH, 3 * WIDTH);

test.each([
  ["float32", 0],
  ["int16", 1 / 65534],
  ["int8", 1 / 254],
] as const)("%s: every value comes back within half a step of its row's scale", (format, step) => {
  const packed = packRows(rows, WIDTH, format);
  expect(packed.length).toBe(packedSize(5, WIDTH, format));
  const found = unpackRows(packed, WIDTH, format);
  for (let row = 0; row < 5; row++) {
    const [own, back] = [rows, found].map((each) => each.subarray(row * WIDTH, (row + 1) * WIDTH));
    const largest = Math.max(...own!.map(Math.abs));
    const worst = Math.max(...own!.map((value, i) => Math.abs(value - back![i]!)));
    expect(worst).toBeLessThanOrEqual(step * largest * 1.001);
    if (format !== "float32" && largest > 0) expect(worst).toBeGreaterThan(0);
  }
});

test.each(PACKED_FORMATS)("%s: rounded values do not change if they are rounded again", (format) => {
  const once = unpackRows(packRows(rows, WIDTH, format), WIDTH, format);
  expect(packRows(once, WIDTH, format)).toEqual(packRows(rows, WIDTH, format));
});

test("values that are not finite do not become numbers", () => {
  const broken = rows.slice();
  broken[1] = Number.NaN;
  for (const format of PACKED_FORMATS) {
    expect(unpackRows(packRows(broken, WIDTH, format), WIDTH, format)[1]).toBeNaN();
  }
});
