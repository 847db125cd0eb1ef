import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BUNDLED_MODEL } from "../../src/base-models/bundled-model.ts";
import { loadBaseModel } from "../../src/base-models/load-base-model-node.ts";
import { untunedAdapter } from "../../src/base-models/untuned-adapter-node.ts";
import type { TensorToWrite } from "../../src/checkpoints/safetensors.ts";
import { openSafetensorsFile, writeSafetensors } from "../../src/checkpoints/safetensors-node.ts";
import { UserError } from "../../src/errors.ts";
import { AdapterHost } from "../../src/inference/adapter-host.ts";
import { chooseAnswers } from "../../src/inference/choose-answer.ts";
import { loadEmbedder } from "../../src/inference/load-embedder-node.ts";
import { loadAskedModel } from "../../src/inference/load-fine-tuned-model-node.ts";
import { loadSeveralModels } from "../../src/inference/load-several-models-node.ts";
import { dot } from "../../src/tasks/vectors.ts";
import { runtime } from "../support/runtime.ts";
import { writeTinyLanguageModel } from "../support/tiny-language-model.ts";
import { writeTinyModel } from "../support/tiny-model.ts";

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-untuned-"));
});
afterAll(() => rm(home, { recursive: true }));

describe("an untuned model", () => {
  test("a decoder generates text, also beside adapters of a host", async () => {
    const model = await writeTinyLanguageModel(join(home, "decoder"));
    const asked = await loadAskedModel({ model }, runtime);
    const options = { maxNewTokens: 6 };
    const [answer] = await asked.answers(["Where is the cat?"], options);
    const [one, other] = await chooseAnswers(asked, ["Where is the cat?", "Where?"], ["here", "late", "lost"]);
    for (const { label, probability, labels } of [one!, other!]) {
      expect(labels[0]).toEqual({ label, probability });
      expect(labels.map((each) => each.label).sort()).toEqual(["here", "late", "lost"]);
      expect(labels.reduce((sum, each) => sum + each.probability, 0)).toBeCloseTo(1, 5);
    }
    // As likely, one beside the other, as the model says of each alone.
    const [here, late] = await asked.predict([
      ["Where?", "here"],
      ["Where?", "late"],
    ]);
    const probabilityOf = (name: string) => other!.labels.find(({ label }) => label === name)!.probability;
    const ratio = Math.log(probabilityOf("here") / probabilityOf("late"));
    expect(ratio).toBeCloseTo(here!.logProbability! - late!.logProbability!, 3);
    await expect(chooseAnswers(asked, ["Where?"], ["here"])).rejects.toThrow(UserError);
    await asked.release();
    const host = new AdapterHost(await loadBaseModel(model), runtime);
    await host.add("base", await untunedAdapter(model));
    expect((await host.use("base").answers(["Where is the cat?"], options))[0]!.text).toBe(answer!.text);
    await host.release();
    expect(answer!.answerTokens).toBeGreaterThan(0);
  });

  test("the bundled encoder embeds in 8 bits nearly as in float32, single texts as in batches", async () => {
    const texts = ["My card was charged twice", "Where is my parcel?", "I cannot log in to my account any more"];
    const [float32, int8] = await Promise.all(
      (["float32", "int8"] as const).map((base) => loadEmbedder(BUNDLED_MODEL, runtime, { base })),
    );
    expect([float32!.base.format, int8!.base.format]).toEqual(["float32", "int8"]);
    const [expected, found, alone] = [
      await float32!.embed(texts),
      await int8!.embed(texts),
      await int8!.embed(texts.slice(0, 1)),
    ];
    for (const [i, vector] of found.entries()) expect(dot(vector, expected[i]!)).toBeGreaterThan(0.995);
    expect(dot(alone[0]!, found[0]!)).toBeCloseTo(1, 6);
    await Promise.all([float32!.release(), int8!.release()]);
  });

  test("a checkpoint's classifier labels with its own labels", async () => {
    const asked = await loadAskedModel({ model: await writeTinyModel(join(home, "classifier")) }, runtime);
    expect(asked.kind.name).toBe("classification");
    const [found] = await asked.predict(["my card was charged twice"]);
    expect(found!.label).toMatch(/^LABEL_\d$/);
    await asked.release();
  });

  test("a classifier without head weights is refused: random ones would predict anything", async () => {
    const directory = join(home, "headless");
    await cp(await writeTinyModel(join(home, "whole")), directory, { recursive: true });
    const file = join(directory, "model.safetensors");
    const source = await openSafetensorsFile(file);
    const kept = new Map<string, TensorToWrite>();
    for (const name of source.tensors.keys())
      if (!/^pooler|pooler\./.test(name)) kept.set(name, await source.read(name));
    await writeSafetensors(file, kept);
    const lacking =
      /headless cannot predict without training: it has no weights pooler\.dense\.weight.*; train it first/;
    await expect(loadAskedModel({ model: directory }, runtime)).rejects.toThrow(lacking);
    await expect(loadSeveralModels({ models: [directory] }, {}, runtime)).rejects.toThrow(lacking);
  });

  test("an encoder without a head embeds", async () => {
    const asked = await loadAskedModel({ model: "all-MiniLM-L6-v2" }, runtime);
    expect(asked.embeds).toBe(true);
    expect((await asked.embed(["a text"]))[0]).toHaveLength(384);
    await asked.release();
  });

  test("needs only its name, and is refused with both a run and an adapter", async () => {
    await expect(loadAskedModel({}, runtime)).rejects.toThrow(
      new UserError(
        'give option "run" DIR or option "adapter" DIR, or option "model" NAME to use a model without training',
      ),
    );
    await expect(loadAskedModel({ run: "a", adapter: "b" }, runtime)).rejects.toThrow(
      new UserError('give either option "run" DIR or option "adapter" DIR'),
    );
  });
});
