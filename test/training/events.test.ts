import { beforeAll, describe, expect, test } from "vitest";
import { aflora } from "../../src/methods/aflora.ts";
import { lora } from "../../src/methods/lora.ts";
import type { CheckpointEvent, TrainingEvent } from "../../src/training/events.ts";
import type { ProgressEvent } from "../../src/training/progress.ts";
import { type Base, smallBert } from "../support/small-bert.ts";
import { numbersOf, smallEvents, smallRun } from "./small-run.ts";

let base: Base;
beforeAll(async () => {
  base = await smallBert();
});

const FREEZING = { freezeInterval: 2, freezeInitial: 2, freezeFinal: 4 };

async function collect(events: AsyncIterable<TrainingEvent>): Promise<TrainingEvent[]> {
  const all: TrainingEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
}

test("a run begins with an evaluation; each step has its check, its record and a checkpoint; there is one end", async () => {
  const { kinds } = await smallRun(base, aflora, {
    options: { freezeInterval: 2, freezeInitial: 1, freezeFinal: 1 },
    settings: { epochs: 1 },
  });
  const step = ["step", "checkpoint"];
  expect(kinds.filter((kind) => kind !== "progress")).toEqual([
    ...["evaluation", "checkpoint"],
    ...[...step, ...step, "freezing", ...step, ...step],
    ...["evaluation", "checkpoint", "end"],
  ]);
});

test("the compilation and each evaluation tell their progress before their event", async () => {
  const events = await collect(smallEvents(base, lora, { settings: { epochs: 1 } }).events);
  expect(events[0]).toMatchObject({ kind: "progress", stage: "compiling the training step" });
  const told = events.slice(
    1,
    events.findIndex(({ kind }) => kind === "evaluation"),
  );
  expect(told.length).toBeGreaterThan(0);
  for (const event of told) expect(event).toMatchObject({ kind: "progress", stage: "evaluating", unit: "examples" });
  const last = told.at(-1) as ProgressEvent;
  expect(last.done).toBe(last.total);
});

describe("a checkpoint", () => {
  test("is due after each evaluation, possible after each step, and contains the state so far", async () => {
    const events = await collect(smallEvents(base, lora).events);
    const checkpoints = events.filter((event) => event.kind === "checkpoint");
    expect(checkpoints.filter(({ due }) => due).map(({ step }) => step)).toEqual([0, 4, 8, 12]);
    expect(checkpoints.filter(({ due }) => !due).map(({ step }) => step)).toEqual(
      [...Array(12).keys()].map((i) => i + 1),
    );
  });

  test("copies the parameters only on request, and later training does not change the copy", async () => {
    const { events, weights } = smallEvents(base, lora);
    let taken: ReturnType<CheckpointEvent["state"]> | undefined;
    for await (const event of events) if (event.kind === "checkpoint" && event.step === 5) taken = event.state();
    const [name, saved] = [...taken!.parameters][0]!;
    expect(taken!.step).toBe(5);
    expect(saved.data).not.toEqual(weights.get(name)!.data);
  });

  test("is due again if the run is aborted, unless it was just taken", async () => {
    for (const takes of [true, false]) {
      const abort = new AbortController();
      const { events } = smallEvents(base, lora, { signal: abort.signal });
      const due: number[] = [];
      for await (const event of events) {
        if (event.kind !== "checkpoint") continue;
        if (event.due) due.push(event.step);
        if (event.due || takes) event.state();
        if (event.step === 2) abort.abort();
      }
      expect(due).toEqual(takes ? [0] : [0, 2]);
    }
  });
});

describe("a caller that requests no further event", () => {
  test("ends the run between two steps, and the saved state resumes identically", async () => {
    const whole = numbersOf(await smallRun(base, aflora, { options: FREEZING }));
    const { events } = smallEvents(base, aflora, { options: FREEZING });
    const steps: number[] = [];
    let saved: ReturnType<CheckpointEvent["state"]> | undefined;
    for await (const event of events) {
      if (event.kind === "step") steps.push(event.step);
      if (event.kind !== "checkpoint" || event.step < 6) continue;
      saved = structuredClone(event.state());
      break;
    }
    expect(steps).toEqual([0, 1, 2, 3, 4, 5]);
    expect((await events.next()).done).toBe(true);
    const rest = numbersOf(await smallRun(base, aflora, { options: FREEZING, resume: saved! }));
    expect(rest.bestParameters).toEqual(whole.bestParameters);
    expect(rest.weights).toEqual(whole.weights);
    expect(rest.steps).toEqual(whole.steps.slice(6));
  });

  test("ends the run within an evaluation", async () => {
    const { events } = smallEvents(base, lora);
    for await (const event of events) {
      if (event.kind === "progress" && event.stage === "evaluating") break;
    }
    expect((await events.next()).done).toBe(true);
  });

  test("because of its own error gets that error, and no end event", async () => {
    const { events } = smallEvents(base, lora);
    const kinds: string[] = [];
    const follow = async (): Promise<void> => {
      for await (const { kind } of events) {
        if (kind !== "progress") kinds.push(kind);
        if (kind === "step") throw new Error("no room");
      }
    };
    await expect(follow()).rejects.toThrow("no room");
    expect(kinds).toEqual(["evaluation", "checkpoint", "step"]);
  });
});

test("the end event has the run's result, after the notes", async () => {
  const settings = { learningRate: 1e-12, headLearningRate: 1e-12, epochs: 1 };
  const events = await collect(smallEvents(base, lora, { settings }).events);
  const [first, second, end] = events.slice(-3);
  expect(first).toMatchObject({ kind: "note", text: expect.stringMatching(/^the validation loss did not move/) });
  expect(second).toMatchObject({ kind: "note", text: expect.stringMatching(/^the model predicts the same for all/) });
  const last = events.filter((event) => event.kind === "evaluation").at(-1);
  expect(end).toMatchObject({ kind: "end", aborted: false, last, best: last });
});
