import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { fineTuneEvents, type RunEvent } from "../../src/runs/fine-tune-events.ts";
import { readRunRecords } from "../../src/runs/read-run.ts";
import { fineTune } from "../support/fine-tune.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";

let home: string;
let config: Record<string, unknown>;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-events-"));
  const model = await writeTinyModel(join(home, "model"));
  const train = await writeCsv(join(home, "tickets.csv"), tickets());
  config = { model, train, text: "message", label: "team", epochs: 2, batchSize: 7, threads: 1 };
});
afterAll(() => rm(home, { recursive: true }));

test("a run yields its state at the start, each record after it is written, and the outcome", async () => {
  const output = join(home, "whole");
  const told: RunEvent[] = [];
  for await (const event of fineTuneEvents({ ...config, output })) {
    told.push(event);
    if (event.kind === "step")
      expect(await readFile(join(output, "metrics.jsonl"), "utf8")).toContain(`"step":${event.step},`);
  }
  const [note, start, first] = told.filter(({ kind }) => kind !== "progress");
  expect(told[0]).toMatchObject({ kind: "progress", stage: "reading the examples" });
  expect(note).toMatchObject({ kind: "note", text: expect.stringContaining("examples with 3 labels") });
  expect(start).toMatchObject({ kind: "start", directory: output, totalSteps: 12 });
  expect(first).toMatchObject({ kind: "evaluation", step: 0 });
  const { steps, evaluations, freezing, result } = await readRunRecords(output);
  expect(told.filter(({ kind }) => kind === "step")).toEqual(steps);
  expect(told.filter(({ kind }) => kind === "evaluation")).toEqual(evaluations);
  expect(told.filter(({ kind }) => kind === "freezing")).toEqual(freezing);
  expect(told.at(-1)).toMatchObject({ kind: "end", directory: output, result });
});

test.each(["breaks off", "fails"])(
  "a program that %s leaves nothing half-written, and the run goes on",
  async (how) => {
    const output = join(home, how.replace(" ", "-"));
    const follow = async (): Promise<void> => {
      for await (const event of fineTuneEvents({ ...config, output, checkpointEvery: 3 })) {
        if (event.kind !== "step" || event.step < 4) continue;
        if (how === "fails") throw new Error("no patience");
        break;
      }
    };
    await (how === "fails" ? expect(follow()).rejects.toThrow("no patience") : follow());
    const files = await readdir(output, { recursive: true });
    expect(files.filter((name) => name.endsWith(".tmp") || name.endsWith("run.lock"))).toEqual([]);
    expect((await readRunRecords(output)).steps).toHaveLength(5);
    const { result } = await fineTune({ output }, { resume: true });
    const { result: whole } = await readRunRecords(join(home, "whole"));
    expect(result).toMatchObject({ metrics: whole!.metrics, frozenAtStep: whole!.frozenAtStep, steps: 12 });
  },
);
