import { expect, test } from "vitest";
import { FreezingMap } from "../../src/cli/terminal/freezing-map.ts";
import type { FreezingRecord } from "../../src/training/training-records.ts";

const check = (step: number, scores: Record<string, number>, frozen: string[]): FreezingRecord =>
  ({ kind: "freezing", step, scores, frozen }) as FreezingRecord;
const name = (block: number, kind: string): string => `encoder.layer.${block}.${kind}`;

/** Three blocks of two matrices; those of block 0 freeze first, one at a time. */
function mapOf(): FreezingMap {
  const map = new FreezingMap();
  const all = [0, 1, 2].flatMap((block) => ["output.dense.A", "output.dense.B"].map((kind) => name(block, kind)));
  const scores = Object.fromEntries(all.map((matrix) => [matrix, 1]));
  map.take(check(10, scores, [name(0, "output.dense.A")]));
  map.take(check(20, scores, [name(0, "output.dense.B")]));
  map.take(check(40, scores, [name(2, "output.dense.B")]));
  return map;
}

test("later frozen matrices are darker, and those that train are dots", () => {
  expect(mapOf().lines(80, 10)).toEqual([
    "block      0  1  2",
    "output.A  ░░ ·· ··",
    "output.B  ▒▒ ·· ██",
    "frozen: 3 of 6 matrices, ░ first, █ last; · still trains",
  ]);
});

test("a narrow terminal gets narrow cells, and one without room gets no map", () => {
  expect(mapOf().lines(18, 10).slice(0, 3)).toEqual(["block    0 to 2", "output.A ░··", "output.B ▒·█"]);
  expect(mapOf().lines(12, 10)).toEqual([]);
  expect(mapOf().lines(80, 3)).toEqual([]);
});

test("there is no map before a matrix freezes", () => {
  const map = new FreezingMap();
  map.take(check(10, { [name(0, "output.dense.A")]: 1 }, []));
  expect(map.lines(80, 10)).toEqual([]);
});
