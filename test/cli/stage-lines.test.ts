import { afterEach, expect, test, vi } from "vitest";
import { StageLines } from "../../src/cli/terminal/stage-lines.ts";

afterEach(() => {
  vi.useRealTimers();
});

test("on a terminal a stage is shown once it takes two seconds, then at each of its events", () => {
  vi.useFakeTimers({ toFake: ["performance", "setTimeout", "clearTimeout"] });
  const shown: string[] = [];
  const lines = new StageLines({ isTerminal: true, show: (line) => shown.push(line) });
  const after = (seconds: number, stage: string, done: number, total?: number): string[] => {
    vi.advanceTimersByTime(1000 * seconds);
    lines.take({ stage, done, total, unit: "texts" });
    return shown.splice(0);
  };
  expect(after(0, "encoding", 0, 10)).toEqual([]);
  expect(after(1, "encoding", 10, 10)).toEqual([]);
  // A stage that tells nothing but its start.
  expect(after(0.5, "opening the model", 0)).toEqual([]);
  vi.advanceTimersByTime(2000);
  expect(shown.splice(0)).toEqual(["opening the model"]);
  expect(after(1, "embedding", 0, 100)).toEqual([]);
  expect(after(2, "embedding", 20, 100)).toEqual([
    expect.stringMatching(/^embedding: /),
    expect.stringMatching(/: 20 of/),
  ]);
  expect(after(0.1, "embedding", 21, 100)).toEqual(["embedding: 21 of 100 texts, 10 a second, 7.9 s left"]);
  expect(after(8, "embedding", 100, 100)).toHaveLength(1);
  expect(after(0.1, "predicting", 0, 9)).toEqual([]);
  lines.end();
  vi.advanceTimersByTime(9000);
  expect(shown).toEqual([]);
});
