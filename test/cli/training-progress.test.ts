import { afterEach, expect, test, vi } from "vitest";
import { TrainingProgress } from "../../src/cli/terminal/progress.ts";

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

test("a log gets the progress of fitting a head every ten seconds", () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  const written: string[] = [];
  vi.spyOn(process.stderr, "write").mockImplementation((text) => written.push(String(text)) > 0);
  const progress = new TrainingProgress();
  const said = (done: number, seconds: number): string[] => {
    vi.advanceTimersByTime(1000 * seconds);
    progress.fitting({ doing: "fitting the head", done, of: 4000 });
    return written.splice(0);
  };
  expect(said(400, 0)).toEqual([]);
  expect(said(900, 9)).toEqual([]);
  expect(said(1000, 1)).toEqual(["fitting the head: 1,000 of 4,000 examples read, 60 a second, 50 s left\n"]);
  expect(said(1500, 5)).toEqual([]);
  expect(said(2000, 5)).toEqual(["fitting the head: 2,000 of 4,000 examples read, 80 a second, 25 s left\n"]);
  expect(said(4000, 20)).toEqual([]);

  const fits = (done: number, seconds: number): string[] => {
    vi.advanceTimersByTime(1000 * seconds);
    progress.fitting({ doing: "choosing the head's penalty", done, of: 50, unit: "fits" });
    return written.splice(0);
  };
  expect(fits(0, 1)).toEqual([]);
  expect(fits(5, 10)).toEqual(["choosing the head's penalty: 5 of 50 fits, 0.5 a second, 1 min 30 s left\n"]);
});
