import { appendFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { UserError } from "../../src/errors.ts";
import { readFinishedRun, readRunRecords } from "../../src/runs/read-run.ts";
import { makeUp, writeRun } from "../reports/made-up-run.ts";

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-runs-"));
});
afterAll(() => rm(home, { recursive: true }));

test("reads back every record of a finished run", async () => {
  const run = makeUp();
  const directory = await writeRun(join(home, "finished"), run);
  expect(await readRunRecords(directory)).toEqual({ directory, ...run });
  expect(await readFinishedRun(directory)).toEqual({ directory, ...run });
});

test("a method without freezing has no freezing records", async () => {
  const directory = await writeRun(join(home, "lora"), makeUp({ method: "lora" }));
  expect((await readRunRecords(directory)).freezing).toEqual([]);
});

test("a run being written is read up to its last whole line", async () => {
  const run = makeUp();
  const directory = await writeRun(join(home, "growing"), run, false);
  await appendFile(join(directory, "metrics.jsonl"), '{"kind":"step","step":24');
  await appendFile(join(directory, "freezing.jsonl"), '{"step":');
  const { steps, freezing, result } = await readRunRecords(directory);
  expect(steps).toEqual(run.steps);
  expect(freezing).toEqual(run.freezing);
  expect(result).toBeUndefined();
});

test("a run that has just begun has no records yet", async () => {
  const directory = await writeRun(
    join(home, "begun"),
    { ...makeUp(), steps: [], evaluations: [], freezing: [] },
    false,
  );
  await rm(join(directory, "metrics.jsonl"));
  expect((await readRunRecords(directory)).steps).toEqual([]);
});

test("a folder that is no run, one that is not there and a file are refused", async () => {
  await expect(readRunRecords(home)).rejects.toThrow(`${home} is no run folder: it has no config.json`);
  await expect(readRunRecords(join(home, "nowhere"))).rejects.toThrow("is no run folder");
  await writeFile(join(home, "file"), "");
  await expect(readRunRecords(join(home, "file"))).rejects.toThrow(UserError);
});

test("a run still being written, or cut off, is not finished", async () => {
  const directory = await writeRun(join(home, "unfinished"), makeUp(), false);
  await expect(readFinishedRun(directory)).rejects.toThrow(
    "did not finish (it has no result.json); continue it with --resume",
  );
  await writeFile(join(directory, "run.lock"), String(process.pid));
  await expect(readFinishedRun(directory)).rejects.toThrow("is still being written");
});

test("a damaged line is named", async () => {
  const directory = await writeRun(join(home, "damaged"), makeUp({ steps: 4 }));
  await writeFile(join(directory, "freezing.jsonl"), '{"step":0,"frozen":[],"scores":{}}\n{"step":\n');
  await expect(readRunRecords(directory)).rejects.toThrow(/freezing\.jsonl, line 2, is not a JSON object/);
  await writeFile(join(directory, "result.json"), "[]");
  await expect(readRunRecords(directory)).rejects.toThrow(/result\.json is not a JSON object/);
});
