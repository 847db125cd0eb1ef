import { afterEach, expect, test, vi } from "vitest";
import { TrainingProgress } from "../../src/cli/terminal/progress.ts";
import type { ProgressEvent } from "../../src/training/progress.ts";

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** What a log gets of progress that is told some seconds after the one before. */
function logged() {
  vi.useFakeTimers({ toFake: ["performance"] });
  const written: string[] = [];
  vi.spyOn(process.stderr, "write").mockImplementation((text) => written.push(String(text)) > 0);
  const progress = new TrainingProgress();
  return (seconds: number, event: Omit<ProgressEvent, "kind">): string => {
    vi.advanceTimersByTime(1000 * seconds);
    progress.take({ kind: "progress", ...event });
    return written.splice(0).join("").trimEnd();
  };
}

test("a log gets each stage that is longer than two seconds, every ten", () => {
  const said = logged();
  expect(said(0, { stage: "reading the examples", done: 0, unit: "rows" })).toBe("");
  expect(said(0.5, { stage: "opening the model", done: 0, unit: "files" })).toBe("");
  const read = (seconds: number, done: number) =>
    said(seconds, { stage: "computing the head's features", done, total: 4000, unit: "examples" });
  expect(read(0.4, 400)).toBe("");
  expect(read(1, 500)).toBe("");
  expect(read(1, 600)).toBe("computing the head's features: 600 of 4,000 examples, 100 a second, 34 s left");
  expect(read(9, 1400)).toBe("");
  expect(read(1, 1600)).toBe("computing the head's features: 1,600 of 4,000 examples, 100 a second, 24 s left");
  expect(read(20, 4000)).toBe("");
  const fitting = (seconds: number, done: number, total?: number) =>
    said(seconds, { stage: "fitting the head", done, total, unit: "passes" });
  expect(fitting(0, 1)).toBe("fitting the head: 1 pass");
  expect(fitting(5, 11)).toBe("fitting the head: 11 passes, 2.0 a second");
  expect(fitting(195, 13)).toBe("fitting the head: 13 passes, 17 s each");
});
