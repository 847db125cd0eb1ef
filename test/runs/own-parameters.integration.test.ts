import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadAdapter, saveAdapter } from "../../src/base-models/adapter-folder-node.ts";
import { fineTune } from "../../src/fine-tune.ts";
import { float32 } from "../../src/graph/tensor.ts";
import { loadFineTunedModel } from "../../src/inference/load-fine-tuned-model-node.ts";
import { runtime } from "../support/runtime.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-own-parameters-"));
});
afterAll(() => rm(home, { recursive: true }));

async function answersOf(directory: string): Promise<unknown> {
  const model = await loadFineTunedModel(directory, runtime);
  const answers = await model.predict(["my card was charged twice", "the parcel is late"]);
  await model.release();
  return answers;
}

test("an adapter of DoRA does not hold the base's row norms; one of an earlier version that holds them opens", async () => {
  const model = await writeTinyModel(join(home, "model"));
  const train = await writeCsv(join(home, "tickets.csv"), tickets());
  const run = join(home, "run");
  const data = { model, train, text: "message", label: "team" };
  await fineTune({ ...data, method: "lora", rank: 2, useDora: true, epochs: 1, threads: 1, output: run });
  const adapter = await loadAdapter(join(run, "adapter"));
  const lengths = [...adapter.parameters].filter(([name]) => /\.m0?$/.test(name));
  expect(lengths.length).toBeGreaterThan(0);
  expect(lengths.filter(([name]) => name.endsWith(".m0"))).toEqual([]);

  const norms = lengths.map(([name, { shape }]) => [`${name}0`, float32(shape)] as const);
  await saveAdapter(join(home, "earlier"), { ...adapter, parameters: new Map([...adapter.parameters, ...norms]) });
  expect(await answersOf(join(home, "earlier"))).toEqual(await answersOf(run));
});
