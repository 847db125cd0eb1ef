import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { saveAdapter } from "../../src/base-models/adapter-folder-node.ts";
import { untunedAdapter } from "../../src/base-models/untuned-adapter-node.ts";
import { loadSeveralModels, type SeveralModels } from "../../src/inference/load-several-models-node.ts";
import { runtime } from "../support/runtime.ts";
import { writeTinyLanguageModel } from "../support/tiny-language-model.ts";
import { writeTinyModel } from "../support/tiny-model.ts";

let home: string;
let [writer, labeller] = ["", ""];
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-several-models-"));
  writer = await writeTinyLanguageModel(join(home, "writer"));
  labeller = await writeTinyModel(join(home, "labeller"));
  for (const [run, model] of Object.entries({ answers: writer, more: writer, tickets: labeller })) {
    await saveAdapter(join(home, run), await untunedAdapter(model));
  }
});
afterAll(() => rm(home, { recursive: true }));

const load = (asked: SeveralModels) => loadSeveralModels(asked, {}, runtime);
const runs = (...names: string[]): string[] => names.map((name) => join(home, name));

test("runs and their base models answer in one process; runs over the same base model share it", async () => {
  const { models, release } = await load({ runs: runs("answers", "tickets", "more"), withBase: true });
  expect([...models.keys()]).toEqual(["answers", "more", "base-writer", "tickets", "base-labeller"]);
  const [answers, more, tickets] = ["answers", "more", "tickets"].map((name) => models.get(name)!);
  const [name] = answers!.base.weights.keys();
  expect(more!.base.weights.get(name!)).toBe(answers!.base.weights.get(name!));
  const ask = { maxNewTokens: 4 };
  const [before] = await models.get("base-writer")!.answers(["Where is the cat?"], ask);
  expect((await answers!.answers(["Where is the cat?"], ask))[0]!.text).toBe(before!.text);
  expect((await tickets!.predict(["my card was charged twice"]))[0]!.label).toMatch(/^LABEL_\d$/);
  await release();
});

test("a single base model is named base; untuned models have their own names", async () => {
  const beside = await load({ runs: runs("tickets"), withBase: true });
  expect([...beside.models.keys()]).toEqual(["tickets", "base"]);
  await beside.release();
  const untuned = await load({ models: [writer, labeller] });
  expect([...untuned.models].map(([name, { writes }]) => [name, writes])).toEqual([
    ["writer", true],
    ["labeller", false],
  ]);
  await untuned.release();
});

test("ambiguous names and runs trained on other files are refused", async () => {
  await expect(load({})).rejects.toThrow('give option "run" DIR, or option "model" NAME');
  await expect(load({ models: [writer, join(writer, ".")] })).rejects.toThrow('two models have the name "writer"');
  await expect(load({ models: [writer], withBase: true })).rejects.toThrow('option "withBase" requires option "run"');
  await expect(load({ runs: runs("tickets"), models: [writer, labeller] })).rejects.toThrow('give option "model" once');
  const changed = join(home, "changed");
  await cp(labeller, changed, { recursive: true });
  const { description, ...adapter } = await untunedAdapter(changed);
  await saveAdapter(join(home, "old"), {
    ...adapter,
    description: { ...description, modelFiles: { "config.json": "0" } },
  });
  await expect(load({ runs: runs("old") })).rejects.toThrow(/config\.json/);
  const { release } = await load({ runs: runs("old"), models: [labeller] });
  await release();
});
