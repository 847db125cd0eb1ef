import { expect, test } from "vitest";
import { duration } from "../../src/reports/quantities.ts";
import { StageText } from "../../src/reports/stage-text.ts";

test("the speed of a stage that runs again counts from its new start", () => {
  const text = new StageText(duration);
  const at = (done: number): string => text.of({ stage: "evaluating", done, total: 100, unit: "examples" });
  expect(at(0)).toBe("evaluating: 0 of 100 examples");
  expect(at(100)).toMatch(/^evaluating: 100 of 100 examples, .+ a second/);
  expect(at(10)).toBe("evaluating: 10 of 100 examples");
  expect(at(20)).toMatch(/^evaluating: 20 of 100 examples, .+ a second, .+ left$/);
});
