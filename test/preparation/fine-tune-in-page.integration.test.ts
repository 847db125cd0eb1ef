import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { folderFiles } from "../../src/checkpoints/file-source-node.ts";
import {
  fineTuneEventsInPage,
  fineTuneInPage,
  type PageFineTuneConfig,
  type PageRunControl,
  type PageRunEvent,
  type TableText,
} from "../../src/preparation/fine-tune-in-page.ts";
import { nodeRuntime } from "../../src/runtime/runtime-node.ts";
import { tickets, writeTinyModel } from "../support/tiny-model.ts";

function csvOf(rows: ReturnType<typeof tickets>): TableText {
  const lines = rows.map(({ message, team }) => `"${message}",${team}`);
  return { name: "tickets.csv", text: ["message,team", ...lines, ""].join("\n") };
}

// What pages call needs no browser of its own: here it trains with Node's runtime.
let home: string;
let config: PageFineTuneConfig;
const runtime = nodeRuntime({ threads: 1 });
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-in-page-"));
  const model = folderFiles(await writeTinyModel(join(home, "model")));
  config = { model, train: csvOf(tickets()), text: "message", label: "team", epochs: 2, batchSize: 7 };
});
afterAll(() => rm(home, { recursive: true }));

test("a run tells what is known at its start, what happens, and what it came to, and goes on from a checkpoint", async () => {
  const told: PageRunEvent[] = [];
  const states: PageRunControl[] = [];
  for await (const event of fineTuneEventsInPage(config, { runtime })) {
    told.push(event);
    if (event.kind === "checkpoint" && event.due) states.push({ runtime, resume: structuredClone(event.state()) });
  }
  const stages = new Set(told.flatMap((event) => (event.kind === "progress" ? [event.stage] : [])));
  expect([...stages].slice(0, 4)).toEqual([
    "reading the examples",
    "opening the model",
    "encoding the examples",
    "reading the model's weights",
  ]);
  expect(stages).toContain("evaluating");
  expect(stages).toContain("calibrating the probabilities");
  const [note, start, first] = told.filter(({ kind }) => kind !== "progress");
  expect(note).toMatchObject({
    kind: "note",
    text: expect.stringMatching(/^45 examples with 3 labels: \d+ to train on/),
  });
  expect(start).toMatchObject({ kind: "start", totalSteps: 12, stepsDone: 0, device: "cpu" });
  expect(first).toMatchObject({ kind: "evaluation", step: 0 });
  const whole = told.at(-1)!;
  if (whole.kind !== "end") throw new Error(`the last event is ${whole.kind}`);
  expect(whole.training).toMatchObject({ aborted: false, state: { step: 12 } });

  let resumed = false;
  const again = await fineTuneInPage(config, {
    ...states[1],
    onEvent: (event) => {
      resumed ||= event.kind === "start" && event.stepsDone === 6;
    },
  });
  expect(resumed).toBe(true);
  expect(again.finished!.adapter).toEqual(whole.finished!.adapter);
});

test("a run with several labels continues from a checkpoint with the threshold of its fitted head", async () => {
  // One text of four has a label, which nothing in it tells: none is likelier than one half.
  const rows = tickets().map(({ message }, i) => JSON.stringify({ message, team: i % 4 ? [] : ["x"] }));
  const several = { ...config, kind: "multi-label", train: { name: "several.jsonl", text: rows.join("\n") } } as const;
  const states: PageRunControl[] = [];
  const whole = await fineTuneInPage(several, {
    runtime,
    onEvent(event) {
      if (event.kind === "checkpoint") states.push({ runtime, resume: structuredClone(event.state()) });
    },
  });
  const { task } = whole.finished!.adapter.description;
  expect(task.options!.labelThreshold).toBeLessThan(0.4);
  const again = await fineTuneInPage(several, states[1]);
  expect(again.finished!.adapter.description.task).toEqual(task);
});

test("a run that is stopped keeps its best epoch, which is not trained once more on all rows", async () => {
  const few = { ...config, train: csvOf(tickets(2)), epochs: 3 };
  const stopped = async (stops: (event: PageRunEvent) => boolean) => {
    const abort = new AbortController();
    const onEvent = (event: PageRunEvent): void => {
      if (stops(event)) abort.abort();
    };
    const { finished } = await fineTuneInPage(few, { runtime, signal: abort.signal, onEvent });
    return finished!.adapter.description.refit;
  };
  expect(await stopped(() => false)).toBe(true);
  expect(await stopped((event) => event.kind === "step" && event.epoch > 1)).toBeUndefined();
  const again = "training on all examples";
  expect(await stopped((event) => event.kind === "progress" && event.stage === again)).toBeUndefined();
});

test("a contrastive run whose patience is exhausted is not trained once more on all rows", async () => {
  const few = {
    ...config,
    train: csvOf(tickets(2)),
    epochs: 6,
    contrastive: true,
    learningRate: 0.3,
    evaluateEvery: 2,
  };
  const refitOf = async (patience?: number) => {
    const { finished } = await fineTuneInPage({ ...few, patience }, { runtime });
    return finished!.adapter.description.refit;
  };
  expect(await refitOf()).toBe(true);
  expect(await refitOf(1)).toBeUndefined();
});

test("aborted while a head is fitted it ends without one, and without a failure", async () => {
  const abort = new AbortController();
  const read: number[] = [];
  const onEvent = (event: PageRunEvent): void => {
    if (event.kind !== "progress" || event.stage !== "computing the head's features") return;
    read.push(event.done / event.total!);
    abort.abort();
  };
  const outcome = await fineTuneInPage({ ...config, tokenBudget: 32 }, { runtime, signal: abort.signal, onEvent });
  expect(outcome).toEqual({ finished: undefined, training: undefined, notes: [] });
  expect(read).toHaveLength(1);
  expect(read[0]).toBeLessThan(1);
});
