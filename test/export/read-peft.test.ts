import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fitAdapter } from "../../src/base-models/fitted-adapter.ts";
import { loadBaseModel } from "../../src/base-models/load-base-model-node.ts";
import { readPeftAdapter } from "../../src/base-models/peft/read-node.ts";
import type { TensorToWrite } from "../../src/checkpoints/safetensors.ts";
import { openSafetensorsFile, writeSafetensors } from "../../src/checkpoints/safetensors-node.ts";
import { readTensors } from "../../src/checkpoints/tensor-source.ts";
import { float32 } from "../../src/graph/tensor.ts";
import { AdapterHost } from "../../src/inference/adapter-host.ts";
import { CompiledModel } from "../../src/inference/compiled-model.ts";
import { loadFineTunedModel } from "../../src/inference/load-fine-tuned-model-node.ts";
import { startFrom } from "../../src/preparation/start-from-adapter.ts";
import { runtime } from "../support/runtime.ts";
import { removeHead, writeTinyFamily } from "../support/tiny-family.ts";

const FIXTURES = fileURLToPath(new URL("../fixtures/peft/", import.meta.url));
let directory: string;
let model: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "aflora-peft-"));
  model = await writeTinyFamily(join(directory, "bert-1"), "bert-1");
});
afterAll(() => rm(directory, { recursive: true, force: true }));

/** A copy of a fixture with another configuration. */
function changed(name: string, settings: object): string {
  const folder = join(directory, `${name}-${Object.keys(settings).join("-")}`);
  cpSync(join(FIXTURES, name), folder, { recursive: true });
  const path = join(folder, "adapter_config.json");
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, "utf8")), ...settings }));
  return folder;
}

/** Changes a copy's tensors. */
async function rewrite(folder: string, change: (tensors: Map<string, TensorToWrite>) => void): Promise<string> {
  const path = join(folder, "adapter_model.safetensors");
  const source = await openSafetensorsFile(path);
  const tensors: Map<string, TensorToWrite> = await readTensors(source);
  change(tensors);
  await writeSafetensors(path, tensors);
  return folder;
}

describe("adapters that peft wrote give the logits that peft gave (oracle/peft_adapters.py)", () => {
  test.each([
    ["lora", "lora", { rank: 4, alpha: 8 }],
    // Ranks and alphas of their own, and a scale by the root of the rank.
    ["lora-patterns", "lora", { rank: 4, alpha: 4 }],
    // Twice the rank of the PiSSA that it was.
    ["pissa", "lora", { rank: 8, alpha: 16 }],
    ["dora", "lora", { rank: 4, alpha: 8, useDora: true }],
    ["vera", "vera", { rank: 16, sharing: "sliced" }],
    ["adalora", "adalora", { rank: 2, initialRank: 4, alpha: 8 }],
  ])("%s", async (name, method, options) => {
    const adapter = await readPeftAdapter(join(FIXTURES, name), { model });
    expect(adapter.description).toMatchObject({ method, methodOptions: options, task: { kind: "classification" } });
    expect(adapter.description.task.labels).toEqual(["LABEL_0", "LABEL_1", "LABEL_2"]);
    const base = await loadBaseModel(model, adapter.description.task, 0);
    const fitted = fitAdapter(base, adapter);
    const compiled = await CompiledModel.compile(base, fitted, runtime);
    const { examples } = JSON.parse(readFileSync(join(FIXTURES, name, "logits.json"), "utf8"));
    const encoded = examples.map(({ inputIds, tokenTypeIds }: Record<string, number[]>) => ({
      encoding: { inputIds: Int32Array.from(inputIds!), tokenTypeIds: Int32Array.from(tokenTypeIds!) },
    }));
    const logits = await compiled.outputs("predictor", encoded);
    await compiled.release();
    examples.forEach((row: { logits: number[] }, i: number) => {
      row.logits.forEach((logit, j) => {
        expect(Math.abs(logit - logits[i]![j]!)).toBeLessThan(1e-4);
      });
    });
  });

  test("a folder is recognised by its files, with its base model named or given", async () => {
    const named = changed("lora", { base_model_name_or_path: model });
    const tuned = await loadFineTunedModel(named, runtime);
    const given = await loadFineTunedModel(join(FIXTURES, "lora"), runtime, { model });
    const [a, b] = [await tuned.predict(["a text"]), await given.predict(["a text"])];
    await tuned.release();
    await given.release();
    expect(a).toEqual(b);
    expect(a[0]!.labels).toHaveLength(3);
  });

  test("without use_rslora, the scale is alpha / rank", async () => {
    const { description } = await readPeftAdapter(changed("lora", { use_rslora: undefined }), { model });
    expect(description.methodOptions).toMatchObject({ rank: 4, alpha: 8 });
  });

  test("an AdaLoRA that nothing would be pruned from has a rank below its initial one", async () => {
    const { description } = await readPeftAdapter(changed("adalora", { target_r: 4 }), { model });
    expect(description.methodOptions).toMatchObject({ rank: 3, initialRank: 4 });
  });

  test.each([false, "gaussian", "eva"])("a start from %j leaves the base model as it was", async (start) => {
    const started = await readPeftAdapter(changed("lora", { init_lora_weights: start }), { model });
    expect(started.parameters).toEqual((await readPeftAdapter(join(FIXTURES, "lora"), { model })).parameters);
  });

  test("without a head, the base model's is used", async () => {
    const folder = await rewrite(changed("lora", { modules_to_save: null }), (tensors) => {
      for (const name of [...tensors.keys()]) if (name.includes("classifier")) tensors.delete(name);
    });
    const adapter = await readPeftAdapter(folder, { model });
    const base = await loadBaseModel(model, adapter.description.task, 0);
    expect(base.newWeights).toEqual([]);
    expect(fitAdapter(base, adapter).parameters.get("classifier.weight")).toBe(base.weights.get("classifier.weight"));
  });
});

describe("without the head's weights in the adapter or the base model", () => {
  test.each([
    ["no head", /classifier/, "pooler.dense.weight, pooler.dense.bias, classifier.weight, classifier.bias"],
    ["only a classifier", /^$/, "pooler.dense.weight, pooler.dense.bias"],
  ])("%s: prediction is refused, and training continues", async (what, left, names) => {
    const headless = await writeTinyFamily(join(directory, `headless ${what}`), "bert-1");
    await removeHead(headless, "bert");
    const folder = await rewrite(changed("lora", { [what]: true }), (tensors) => {
      for (const name of [...tensors.keys()]) if (left.test(name)) tensors.delete(name);
    });
    const refused = `neither of them has the weights ${names}; train with option "adapter" to continue from it`;
    await expect(loadFineTunedModel(folder, runtime, { model: headless })).rejects.toThrow(refused);
    const adapter = await readPeftAdapter(folder, { model: headless });
    const base = await loadBaseModel(headless, adapter.description.task, 0);
    const host = new AdapterHost(base, runtime);
    await expect(host.add("mine", adapter)).rejects.toThrow(refused);
    await host.release();
    const start = startFrom(base, adapter);
    expect(start.newWeights.map(({ name }) => name).join(", ")).toBe(names);
    expect(start.parameters.get("pooler.dense.weight")).toBe(base.weights.get("pooler.dense.weight"));
  });
});

describe("bad input", () => {
  test.each([
    [{ peft_type: "IA3" }, /adapters of type IA3 are not supported; LORA, VERA and ADALORA are/],
    [{ lora_bias: true }, /"lora_bias" are not supported/],
    [{ use_dora: true }, /is damaged: layer ".*" has no lora_magnitude_vector/],
    [{ init_lora_weights: "pissa_niter_4" }, /changed by .*"pissa_niter_4".* path_initial_model_for_weight_conversion/],
    [{ bias: "all" }, /trained biases \("bias": "all"\)/],
    [{ r: "four" }, /"r": /],
    [{ rank_pattern: { "(a)\\1": 2 } }, /the regular expression .* is refused/],
    [{ rank_pattern: { "(": 2 } }, /the regular expression .* is refused: .*missing/],
    [{ r: 5 }, /lora_A\.weight" is \[4, 32\], but should be \[5, 32\]/],
  ])("%j", async (settings, message) => {
    await expect(readPeftAdapter(changed("lora", settings), { model })).rejects.toThrow(message);
  });

  test("no base model named", async () => {
    const folder = changed("lora", { base_model_name_or_path: null });
    await expect(readPeftAdapter(folder)).rejects.toThrow(/names no base model; give it with option "model"/);
  });

  test("a base model of another size, or of another family", async () => {
    const wide = await writeTinyFamily(join(directory, "bert-2"), "bert-2");
    await expect(readPeftAdapter(join(FIXTURES, "lora"), { model: wide })).rejects.toThrow(
      /does not fit base model .*bert-2: "base_model.*lora_[AB].weight" is \[\d+, \d+\], but should be \[\d+, \d+\]/,
    );
    const other = await writeTinyFamily(join(directory, "distilbert-1"), "distilbert-1");
    await expect(readPeftAdapter(join(FIXTURES, "lora"), { model: other })).rejects.toThrow(
      /it adapts "bert\.encoder\.layer\.0\.attention\.output\.dense", but the layers .* like transformer\.layer\.0/,
    );
  });

  test("an adapter of no layer", async () => {
    const bare = await rewrite(changed("lora", { lora_alpha: 8 }), (tensors) => {
      for (const name of tensors.keys()) if (name.includes("lora_")) tensors.delete(name);
    });
    await expect(readPeftAdapter(bare, { model })).rejects.toThrow(/adapter_model\.safetensors adapts no layer/);
  });

  test("VeRA without its projections, tensors that aflora does not know", async () => {
    const vera = await rewrite(changed("vera", { save_projection: false }), (tensors) => {
      tensors.delete("base_model.vera_A");
    });
    await expect(readPeftAdapter(vera, { model })).rejects.toThrow(/save_projection=True/);
    const dora = await rewrite(changed("lora", { r: 4, task_type: "SEQ_CLS" }), (tensors) => {
      const name = "base_model.model.bert.encoder.layer.0.output.dense.lora_magnitude_vector";
      tensors.set(name, float32([1]));
    });
    await expect(readPeftAdapter(dora, { model })).rejects.toThrow(/lora_magnitude_vector" is not supported/);
  });
});
