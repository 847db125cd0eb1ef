import { describe, expect, test } from "vitest";
import { UserError } from "../../../src/errors.ts";
import { freezesByDegrees, frozenFraction, isCheck, validateSchedule } from "../../../src/methods/freezing/schedule.ts";

const schedule = { interval: 10, totalSteps: 200, initialSteps: 20, finalSteps: 60 };

describe("frozenFraction", () => {
  test("is 0 until ti, cubic in between, and 1 after T - tf", () => {
    expect(frozenFraction(0, schedule)).toBe(0);
    expect(frozenFraction(20, schedule)).toBe(0);
    expect(frozenFraction(80, schedule)).toBe(0.875);
    expect(frozenFraction(140, schedule)).toBe(1);
    expect(frozenFraction(141, schedule)).toBe(1);
  });

  test("is quadratic in between with that curve", () => {
    const quadratic = { ...schedule, curve: "quadratic" } as const;
    expect([20, 50, 80, 110, 140, 141].map((step) => frozenFraction(step, quadratic))).toEqual([
      0, 0.0625, 0.25, 0.5625, 1, 1,
    ]);
  });

  test.each(["cubic", "quadratic"] as const)("never falls (%s)", (curve) => {
    const fractions = Array.from({ length: 200 }, (_, step) => frozenFraction(step, { ...schedule, curve }));
    expect(fractions).toEqual(fractions.toSorted((a, b) => a - b));
  });
});

test("checks are due every interval after ti, and at every step after T - tf", () => {
  const checks = Array.from({ length: 145 }, (_, step) => step).filter((step) => isCheck(step, schedule));
  expect(checks).toEqual([30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 130, 140, 141, 142, 143, 144]);
  expect([141, 142].map((step) => isCheck(step, { ...schedule, finalSteps: 59 }))).toEqual([false, true]);
});

test("matrices freeze by degrees if a check is due after ti and until T - tf", () => {
  expect(freezesByDegrees(schedule)).toBe(true);
  expect(freezesByDegrees({ ...schedule, initialSteps: 139 })).toBe(true);
  expect(freezesByDegrees({ ...schedule, initialSteps: 130, finalSteps: 61 })).toBe(false);
  expect(freezesByDegrees({ ...schedule, interval: 150 })).toBe(false);
});

describe("validateSchedule", () => {
  test("refuses overlapping ti and tf", () => {
    expect(() => validateSchedule({ ...schedule, initialSteps: 140 })).toThrow(
      new UserError(
        "Freezing schedule: initialSteps (140) + finalSteps (60) must be less than totalSteps (200); " +
          "give fewer initial or final steps, or train longer",
      ),
    );
  });

  test.each([
    ["interval", 0],
    ["interval", 2.5],
    ["totalSteps", Number.NaN],
    ["initialSteps", -1],
    ["finalSteps", 0.7],
  ])("refuses %s = %d", (name, value) => {
    expect(() => validateSchedule({ ...schedule, [name]: value })).toThrow(`${name} is ${value}`);
  });
});
