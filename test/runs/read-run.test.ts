import { appendFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { UserError } from "../../src/errors.ts";
import { resolveConfig } from "../../src/preparation/run-options-node.ts";
import { readFinishedRun, readRunRecords } from "../../src/runs/read-run.ts";
import { lockRun } from "../../src/runs/run-lock.ts";
import { makeUp, writeRun } from "../support/made-up-run.ts";

const CHECK = { kind: "freezing", step: 0, fraction: 0, threshold: null, scores: {}, compileSeconds: 0 };

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

test("a run being written is read up to its last complete line", async () => {
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

test("a folder without a run, a missing folder and a file are refused", async () => {
  await expect(readRunRecords(home)).rejects.toThrow(`${home} is not a run folder: it has no config.json`);
  await expect(readRunRecords(join(home, "nowhere"))).rejects.toThrow("is not a run folder");
  await writeFile(join(home, "file"), "");
  await expect(readRunRecords(join(home, "file"))).rejects.toThrow(UserError);
});

test("a run still being written, or cut off, is not finished", async () => {
  const directory = await writeRun(join(home, "unfinished"), makeUp(), false);
  await expect(readFinishedRun(directory)).rejects.toThrow(
    'did not finish (it has no result.json); continue it with option "resume"',
  );
  const unlock = await lockRun(directory);
  await expect(readFinishedRun(directory)).rejects.toThrow("is still being written");
  await unlock();
  await writeFile(join(directory, "run.lock"), `1\n${hostname()}\n`);
  await expect(readFinishedRun(directory)).rejects.toThrow("did not finish");
});

test("an invalid data fingerprint is refused", async () => {
  const directory = await writeRun(join(home, "fingerprint"), makeUp());
  expect((await readRunRecords(directory)).dataFingerprint).toEqual(makeUp().dataFingerprint);
  await writeFile(join(directory, "data.json"), '{"files":["own.csv"]}');
  const refusal = `${join(directory, "data.json")} is missing or damaged; restore it`;
  await expect(readRunRecords(directory)).rejects.toThrow(refusal);
  await rm(join(directory, "data.json"));
  await expect(readRunRecords(directory)).rejects.toThrow(refusal);
});

test("an error names the damaged line", async () => {
  const directory = await writeRun(join(home, "damaged"), makeUp({ steps: 4 }));
  await writeFile(join(directory, "freezing.jsonl"), `${JSON.stringify({ ...CHECK, frozen: [] })}\n{"step":\n`);
  await expect(readRunRecords(directory)).rejects.toThrow(/freezing\.jsonl, line 2, is not a JSON object/);
  await writeFile(join(directory, "result.json"), "[]");
  await expect(readRunRecords(directory)).rejects.toThrow(/result\.json is not a JSON object/);
});

test.each([
  [
    "metrics.jsonl",
    { kind: "evaluation", epoch: 1e9, step: 0, metrics: { accuracy: 1 }, loss: 0 },
    /an evaluation of epoch 1000000000 does not follow/,
  ],
  [
    "metrics.jsonl",
    { kind: "evaluation", epoch: 1, step: 0, metrics: [], loss: 0 },
    /line \d+, is not a valid record: metrics is malformed/,
  ],
  ["metrics.jsonl", { kind: "step", step: -1 }, /line \d+, is not a valid record: step is malformed/],
  ["freezing.jsonl", { ...CHECK, frozen: [1] }, /line \d+, is not a valid record: frozen.0 is malformed/],
])("a record in %s that is none is refused: %o", async (file, record, message) => {
  const directory = await writeRun(join(home, `none-${file}-${JSON.stringify(record).length}`), makeUp({ steps: 4 }));
  await appendFile(join(directory, file), `${JSON.stringify(record)}\n`);
  await expect(readRunRecords(directory)).rejects.toThrow(message);
});

describe("config.json", () => {
  /** A run folder whose config.json is changed. */
  async function changed(name: string, change: (config: Record<string, unknown>) => object): Promise<string> {
    const directory = await writeRun(join(home, name), makeUp());
    const file = join(directory, "config.json");
    await writeFile(file, JSON.stringify(change(JSON.parse(await readFile(file, "utf8")))));
    return directory;
  }

  test("holds all options in one flat object, which parses to the same options", async () => {
    const { config } = makeUp();
    const file = join(await writeRun(join(home, "flat"), makeUp()), "config.json");
    const saved = JSON.parse(await readFile(file, "utf8"));
    expect(saved).toMatchObject({ method: "aflora", task: "sst2", data: "glue", epochs: 4, rank: 4, beta1: 0.85 });
    expect(resolveConfig(saved)).toEqual(config);
  });

  test.each<[string, object, RegExp]>([
    ["a malformed option", { epochs: "many" }, /option "epochs": .*it must be a number/],
    ["a malformed option of the method", { rank: 0 }, /option "rank" of method "aflora": /],
    ["an unknown option", { epohcs: 3 }, /unknown option "epohcs"/],
    ["an unknown method", { method: "afora" }, /unknown method "afora"/],
    ["two sources of examples", { train: "own.csv" }, /give either a task/],
  ])("damaged by %s is refused, naming file and option", async (name, damage, message) => {
    const directory = await changed(name, (config) => ({ ...config, ...damage }));
    const error = await readRunRecords(directory).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toMatch(message);
    expect(error.message).toContain(`${join(directory, "config.json")} is damaged: `);
  });
});
