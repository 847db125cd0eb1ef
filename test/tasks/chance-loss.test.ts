import { expect, test } from "vitest";
import { chanceLoss } from "../../src/tasks/chance-loss.ts";
import type { Example } from "../../src/tasks/example.ts";

const examples = (labels: number[]): Example[] => labels.map((label, index) => ({ index, text: "a", label }));
const lossOf = (kind: string, labels: number[]): number | undefined =>
  chanceLoss({ kind, labels: ["a", "b", "c"] }, examples(labels));

test("guessing by the shares of the classes has their entropy as its loss; a class without examples adds nothing", () => {
  expect(lossOf("classification", [0, 1, 2])).toBeCloseTo(Math.log(3), 12);
  expect(lossOf("classification", [0, 0, 0, 1])).toBeCloseTo(-0.75 * Math.log(0.75) - 0.25 * Math.log(0.25), 12);
  expect(lossOf("classification", [0, 0])).toBe(0);
});

test("examples without one class each have no such loss", () => {
  for (const kind of ["regression", "multi-label", "language-model"])
    expect(lossOf(kind, [0, 1]), kind).toBeUndefined();
});
