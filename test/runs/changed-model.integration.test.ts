import { appendFile, cp, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { evaluateRun, exportRun, fineTune, loadFineTunedModel, readRunRecords } from "../../src/index.ts";
import { runtime } from "../support/runtime.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";

let home: string;
let model: string;
let run: string;
/** A run that has not finished. */
let cut: string;
let data: { train: string; text: string; label: string; threads: number };
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-model-"));
  model = await writeTinyModel(join(home, "model"));
  data = { train: await writeCsv(join(home, "tickets.csv"), tickets()), text: "message", label: "team", threads: 1 };
  run = (await fineTune({ ...data, model, epochs: 1, output: join(home, "run") })).directory;
  cut = join(home, "cut");
  await cp(run, cut, { recursive: true });
  await rm(join(cut, "result.json"));
});
afterAll(() => rm(home, { recursive: true }));

const uses: [name: string, whose: () => string, use: () => Promise<unknown>][] = [
  ["evaluate", () => `the adapter in ${run}`, () => evaluateRun(run)],
  ["predict", () => `the adapter in ${join(run, "adapter")}`, () => loadFineTunedModel(join(run, "adapter"), runtime)],
  ["export", () => `the run in ${run}`, () => exportRun(run, { format: "peft", output: join(home, "refused") })],
  ["resume", () => `the run in ${cut}`, () => fineTune({ output: cut }, { resume: true })],
  ["go on", () => `the adapter in ${run}`, () => fineTune({ ...data, adapter: run, output: join(home, "refused") })],
];

test.each(uses)("%s refuses a base model whose files changed, and names the file", async (_, whose, use) => {
  for (const file of ["config.json", "model.safetensors", "vocab.txt"]) {
    const path = join(model, file);
    const bytes = await readFile(path);
    const changed = Buffer.from(bytes);
    // A bit of a weight, and what neither JSON nor a vocabulary minds.
    if (file === "model.safetensors") changed[bytes.length - 3]! ^= 1;
    await writeFile(path, changed);
    if (file !== "model.safetensors") await appendFile(path, "\n");
    await expect(use(), file).rejects.toThrow(
      `${path} is not the base model that ${whose()} was trained on; restore it, or train again`,
    );
    await writeFile(path, bytes);
  }
});

test("an error names a missing or replaced file", async () => {
  const weights = join(model, "model.safetensors");
  await rename(weights, join(home, "away"));
  await expect(evaluateRun(run)).rejects.toThrow(`${weights} is missing, which held the base model`);
  await rename(join(home, "away"), weights);
  // Read before vocab.txt where it is there.
  await cp(
    fileURLToPath(new URL("../../assets/all-MiniLM-L6-v2/tokenizer.json", import.meta.url)),
    join(model, "tokenizer.json"),
  );
  await expect(evaluateRun(run)).rejects.toThrow(
    `${join(model, "vocab.txt")} belongs to the base model that the adapter in ${run} was trained on, but other files in its folder override it`,
  );
  await rm(join(model, "tokenizer.json"));
});

test("another model can be named explicitly, and a run with an unchanged model resumes", async () => {
  await cp(model, join(home, "moved"), { recursive: true });
  const moved = await loadFineTunedModel(run, runtime, { model: join(home, "moved") });
  await moved.release();
  expect((await fineTune({ output: cut, threads: 1 }, { resume: true })).result).toBeDefined();
  const { dataFingerprint } = await readRunRecords(cut);
  expect(Object.keys(dataFingerprint.model!).sort()).toEqual(["config.json", "model.safetensors", "vocab.txt"]);
});
