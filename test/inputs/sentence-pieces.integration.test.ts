import { copyFile, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { resolveModel } from "../../src/checkpoints/hub-node.ts";
import { loadFineTunedModel } from "../../src/inference/load-fine-tuned-model-node.ts";
import { fineTune } from "../support/fine-tune.ts";
import { LocalHub } from "../support/local-hub.ts";
import { runtime } from "../support/runtime.ts";
import { ANSWERS, writeJsonl, writeTinyLanguageModel } from "../support/tiny-language-model.ts";

const pieces = fileURLToPath(new URL("../fixtures/tokenizers/pieces/llama.model", import.meta.url));

let home: string;
let hub: LocalHub;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-pieces-"));
  hub = new LocalHub();
  await hub.start();
});
afterAll(async () => {
  await hub.stop();
  await rm(home, { recursive: true });
});

it("a Llama of the hub with tokenizer.model as its only tokenizer trains and answers", async () => {
  const model = await writeTinyLanguageModel(join(home, "model"), { vocab_size: 800, template: null });
  for (const file of ["tokenizer.json", "tokenizer_config.json"]) await rm(join(model, file));
  await copyFile(pieces, join(model, "tokenizer.model"));
  const names = await readdir(model);
  const contents = await Promise.all(names.map(async (name) => [name, await readFile(join(model, name))] as const));
  hub.repositories.push({ kind: "model", name: "owner/llama", files: Object.fromEntries(contents) });
  const folder = await resolveModel("owner/llama", { endpoint: hub.endpoint, cache: join(home, "cache") });
  expect((await readdir(folder)).sort()).toEqual(["config.json", "model.safetensors", "tokenizer.model"]);

  const train = await writeJsonl(
    join(home, "rows.jsonl"),
    ANSWERS.map(([prompt, completion]) => ({ prompt, completion })),
  );
  const output = join(home, "run");
  await fineTune({
    ...{ model: folder, train, validation: train, output, threads: 1, method: "full" },
    ...{ learningRate: 0.01, maxGradNorm: 1, epochs: 60, batchSize: 4 },
  });
  const tuned = await loadFineTunedModel(output, runtime);
  const answers = await tuned.answers(ANSWERS.map(([prompt]) => `${prompt}\n`));
  expect(answers.map(({ text }) => text)).toEqual(ANSWERS.map(([, answer]) => answer));
  await tuned.release();
});
