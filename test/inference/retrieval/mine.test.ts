import { expect, test } from "vitest";
import { mineNegatives } from "../../../src/inference/retrieval/mine.ts";

const turn = (degrees: number): Float32Array => {
  const angle = (degrees * Math.PI) / 180;
  return Float32Array.of(Math.cos(angle), Math.sin(angle));
};

test("leaves out positives, their duplicates, and texts that are too close", () => {
  const texts = { positive: 40, twin: 41, nearer: 10, hard: 60, harder: 50, far: 170, anchor: 0 };
  const corpus = Object.entries(texts).map(([text, degrees]) => ({ text, vector: turn(degrees) }));
  const pair = { anchor: "anchor", positive: "positive", anchorVector: turn(0), positiveVector: turn(40) };
  const mine = (options: object): string[] =>
    mineNegatives([pair], corpus, { range: [0, 10], margin: 0, negatives: 9, duplicate: 0.999, ...options })[0]!
      .negatives;
  expect(mine({})).toEqual(["harder", "hard", "far"]);
  expect(mine({ negatives: 1 })).toEqual(["harder"]);
  expect(mine({ duplicate: 0.98 })).toEqual(["hard", "far"]);
  expect(mine({ margin: 0.2 })).toEqual(["hard", "far"]);
  // By rank: nearer, twin, harder, hard, far.
  expect(mine({ range: [3, 4] })).toEqual(["hard"]);
});

test("positives of an equal anchor are not negatives, nor are exact duplicates", () => {
  const corpus = ["p1", "p2", "n"].map((text, i) => ({ text, vector: turn(30 * (i + 1)) }));
  const pairs = ["p1", "p2"].map((positive, i) => ({
    ...{ anchor: "a", positive, anchorVector: turn(0), positiveVector: turn(30 * (i + 1)) },
  }));
  const options = { range: [0, 9], margin: 0, negatives: 9, duplicate: 2 } as const;
  expect(mineNegatives(pairs, corpus, options)).toEqual(
    ["p1", "p2"].map((positive) => ({ anchor: "a", positive, negatives: ["n"] })),
  );
  // As close as the positive, but not closer.
  const twin = [{ text: "twin", vector: turn(60) }];
  expect(mineNegatives(pairs.slice(1), twin, options)[0]!.negatives).toEqual(["twin"]);
  expect(mineNegatives(pairs.slice(1), twin, { ...options, margin: 0.01 })[0]!.negatives).toEqual([]);
  const itself = pairs[1]!.positiveVector.reduce((sum, value) => sum + value * value, 0);
  expect(mineNegatives(pairs.slice(1), twin, { ...options, duplicate: itself })[0]!.negatives).toEqual([]);
});
