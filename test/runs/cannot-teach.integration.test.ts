import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { UserError } from "../../src/errors.ts";
import { renderReport } from "../../src/reports/report.ts";
import { readRunRecords } from "../../src/runs/read-run.ts";
import { findDevices } from "../../src/runtime/devices-node.ts";
import { fineTune } from "../support/fine-tune.ts";
import { on } from "../support/on-event.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";

let home: string;
let data: Record<string, unknown>;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-teach-"));
  const model = await writeTinyModel(join(home, "model"));
  const train = await writeCsv(join(home, "tickets.csv"), tickets());
  const settings = { threads: 1, batchSize: 8, epochs: 2, headStart: "new" };
  data = { model, train, text: "message", label: "team", ...settings };
});
afterAll(() => rm(home, { recursive: true }));

/** The notes of a run, before training and after it. */
async function notesOf(output: string, given: object): Promise<{ before: string[]; after: string[] }> {
  let before: string[] = [];
  const onEvent = on("start", ({ notes }: { notes: readonly string[] }): void => {
    before = [...notes];
  });
  const { directory, notes, result } = await fineTune({ ...data, ...given, output: join(home, output) }, { onEvent });
  // What was said stays with the run, and on its page.
  expect(result!.notes).toEqual([...before, ...notes]);
  const page = renderReport([await readRunRecords(directory)]);
  for (const note of result!.notes) expect(page).toContain(`<li>${note.replaceAll("'", "&#39;")}</li>`);
  return { before, after: notes };
}

test("a run whose only step has learning rate 0 notes it before training", async () => {
  const once = { method: "lora", batchSize: 100, epochs: 1 };
  const { before } = await notesOf("one-step", once);
  expect(before).toEqual([expect.stringMatching(/^nothing will train: the run has one step, and warm-up gives it/)]);
  expect((await notesOf("no-warm-up", { ...once, warmupRatio: 0 })).before).toEqual([]);
});

test("a run too short for the freezing schedule notes it before training", async () => {
  const { before } = await notesOf("short", { method: "aflora", freezeInterval: 10 });
  expect(before).toEqual([expect.stringMatching(/^the run's 10 steps are too few for the freezing schedule: /)]);
  // What is not given suits the run.
  expect((await notesOf("suited", { method: "aflora" })).before).toEqual([]);
  expect((await notesOf("lora", { method: "lora" })).before).toEqual([]);
});

test("a run that learned nothing notes it at the end; a run that learned does not", async () => {
  const still = { method: "lora", learningRate: 1e-20, headLearningRate: 1e-20, epochs: 3 };
  const { after } = await notesOf("still", still);
  expect(after).toContainEqual(expect.stringMatching(/^the validation loss did not move \(1\.\d+ to 1\.\d+\)/));

  // What a new head says before it has learned anything is often one class for all.
  const off = { method: "head", headLearningRate: 1e-20, learningRate: 1e-20, epochs: 1 };
  const seeds = await Promise.all([1, 2, 3, 4].map((seed) => notesOf(`alike-${seed}`, { ...off, seed })));
  const alike = /^the model predicts the same for all validation examples: it has not learned/;
  expect(seeds.flatMap(({ after: notes }) => notes).filter((note) => alike.test(note)).length).toBeGreaterThan(0);

  const rates = { learningRate: 2e-2, headLearningRate: 2e-2, maxGradNorm: 1, epochs: 12 };
  expect((await notesOf("learns", { method: "lora", validation: data.train, ...rates })).after).toEqual([]);
});

test("labels that all differ are not classes", async () => {
  const train = join(home, "ids.csv");
  await writeFile(train, `message,team\n${Array.from({ length: 60 }, (_, i) => `text ${i},t${i}\n`).join("")}`);
  await expect(fineTune({ ...data, train, output: join(home, "ids") })).rejects.toThrow(
    new UserError(
      `${train}: 60 texts with 60 labels in column "team": is this the right column? Name the label column with option "label"; for numbers, use option "kind" regression`,
    ),
  );
});

test("a device that fails leaves no run folder behind", async ({ skip }) => {
  const missing = (await findDevices()).find(({ usable }) => !usable);
  if (!missing) return skip("every device works here");
  const output = join(home, "device");
  await expect(fineTune({ ...data, device: missing.device, output })).rejects.toThrow(missing.reason);
  expect(existsSync(output)).toBe(false);
});

test("nor does a device that fails after its trial, before the first step; other files in the folder stay", async ({
  skip,
}) => {
  const device = (await findDevices()).find(({ device, usable }) => usable && device !== "cpu")?.device;
  if (!device) return skip("there is no device but the CPU here");
  const onEvent = on("start", (): void => {
    throw new Error("device lost");
  });
  const output = join(home, "lost");
  await expect(fineTune({ ...data, device, output }, { onEvent })).rejects.toThrow("device lost");
  expect(existsSync(output)).toBe(false);
  await mkdir(output);
  await writeFile(join(output, "notes.txt"), "mine");
  await expect(fineTune({ ...data, device, output }, { onEvent })).rejects.toThrow("device lost");
  expect(await readdir(output)).toEqual(["notes.txt"]);
});
