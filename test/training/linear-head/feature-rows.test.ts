import { expect, test } from "vitest";
import { Turns } from "../../../src/runtime/turns.ts";
import { canonicalOrder } from "../../../src/training/linear-head/feature-rows.ts";
import { denseTargets } from "./dense-targets.ts";

test("the canonical order depends on the targets and weights of rows, too, and not on where they stand", async () => {
  // Features are equal but in the last row; then come the first output that differs, its value, and the weight.
  const rows: [feature: number, targets: number[], weight: number][] = [
    [1, [1, 1, 0], 1],
    [1, [1, 1, 0], 2],
    [1, [1, 1, 1], 1],
    [1, [1, 0.5, 0], 1],
    [1, [1, 0, 1], 1],
    [1, [0, 0, 0], 1],
    [0, [1, 0, 0], 1],
  ];
  const sorted = async (given: typeof rows) => {
    const order = await canonicalOrder(
      {
        ...{ rows: given.length, width: 1, outputs: 3, targets: denseTargets(given.map(([, targets]) => targets)) },
        features: Float32Array.from(given, ([feature]) => feature),
        weights: Float32Array.from(given, ([, , weight]) => weight),
      },
      new Turns(),
    );
    return Array.from(order, (row) => given[row]);
  };
  const expected = await sorted(rows);
  expect(expected[0]).toBe(rows[6]);
  for (let from = 0; from < rows.length; from++) {
    const turned = [...rows.slice(from), ...rows.slice(0, from)];
    expect(await sorted(turned)).toEqual(expected);
    expect(await sorted(turned.toReversed())).toEqual(expected);
  }
});

test("rows are sorted by their first feature, then by the next ones", async () => {
  const rows = [
    [1, 3, 0],
    [1, 2, 9],
    [0, 5, 4],
    [1, 2, 8],
  ];
  const given = { rows: 4, width: 3, outputs: 1, targets: denseTargets(rows.map(() => [1])) };
  const numbers = { features: Float32Array.from(rows.flat()), weights: new Float32Array(4).fill(1) };
  expect([...(await canonicalOrder({ ...given, ...numbers }, new Turns()))]).toEqual([2, 3, 1, 0]);
});
