import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadBaseModel } from "../../src/base-models/load-base-model-node.ts";
import { openSafetensorsFile } from "../../src/checkpoints/safetensors-node.ts";
import { exportAdapter } from "../../src/export/export-adapter-node.ts";
import { FineTunedModel } from "../../src/inference/fine-tuned-model.ts";
import { runtime } from "../support/runtime.ts";
import { EXAMPLES, tinyAdapter } from "../support/tiny-adapter.ts";
import { writeTinyFamily } from "../support/tiny-family.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "aflora-pooled-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

const task = (features: "mean" | "cls" | "sentence") => ({
  name: "custom",
  kind: "classification",
  labels: ["bad", "good", "odd"],
  metrics: ["accuracy"],
  features,
});

const readJson = (path: string) => JSON.parse(readFileSync(path, "utf8"));

describe("a head on pooled hidden states", () => {
  test("is the mean of the tokens' rows times its weight, plus its bias", async () => {
    const model = await writeTinyFamily(join(directory, "bert"), "bert-1");
    const { base, adapter } = await tinyAdapter(model, "head", {}, task("mean"));
    const embedding = { ...adapter.description.task, kind: "embedding", labels: [], metrics: ["ndcg_at_10"] };
    const vectors = await FineTunedModel.adapt(
      await loadBaseModel(model, embedding, 3),
      { description: { ...adapter.description, task: embedding }, parameters: new Map() },
      runtime,
    );
    const scored = await FineTunedModel.adapt(base, adapter, runtime);
    const [vector] = await vectors.embed([EXAMPLES[7]!.text]);
    const [logits] = await scored.logits([EXAMPLES[7]!]);
    const { data: weight } = adapter.parameters.get("classifier.weight")!;
    const { data: bias } = adapter.parameters.get("classifier.bias")!;
    logits!.forEach((logit, k) => {
      const own = weight.subarray(k * vector!.length, (k + 1) * vector!.length);
      expect(logit).toBeCloseTo(
        vector!.reduce((sum, each, j) => sum + each * own[j]!, bias[k]!),
        4,
      );
    });
    await vectors.release();
    await scored.release();
  });

  test.each(["bert-1", "mpnet-1", "deberta-v2-1", "llama-1", "gpt2-1"])(
    "of %s computes the same in every export",
    async (family) => {
      const model = await writeTinyFamily(join(directory, family), family);
      const { base, adapter } = await tinyAdapter(model, "lora", { rank: 3 }, task("cls"));
      expect([...adapter.parameters.keys()].filter((name) => name.startsWith("classifier"))).toHaveLength(2);
      for (const format of ["merged", "onnx", "peft"] as const) {
        const output = join(directory, `${family}-${format}`);
        const report = await exportAdapter(base, adapter, { format, output }, runtime, EXAMPLES);
        expect(report.largestDifference, format).toBeLessThan(1e-5);
      }
      expect(readJson(join(directory, `${family}-merged`, "1_Pooling", "config.json"))).toMatchObject({
        pooling_mode_cls_token: true,
        pooling_mode_mean_tokens: false,
        include_prompt: true,
      });
    },
  );

  test("is the last module of a folder for sentence-transformers, whose README explains it", async () => {
    const model = await writeTinyFamily(join(directory, "own"), "bert-1");
    const { base, adapter } = await tinyAdapter(model, "lora", { rank: 3 }, task("sentence"));
    const sentences = { ...base, pooling: { mode: "cls", normalize: true } as const };
    const output = join(directory, "sentences");
    await exportAdapter(sentences, adapter, { format: "merged", output }, runtime, EXAMPLES);
    const modules: { path: string; type: string }[] = readJson(join(output, "modules.json"));
    expect(modules.map(({ type }) => type.split(".").at(-1))).toEqual(["Transformer", "Pooling", "Normalize", "Dense"]);
    expect(readJson(join(output, "3_Dense", "config.json"))).toMatchObject({ out_features: 3, bias: true });
    expect(readJson(join(output, "sentence_bert_config.json"))).toEqual({ max_seq_length: 24, do_lower_case: false });
    const head = await openSafetensorsFile(join(output, "3_Dense", "model.safetensors"));
    expect([...head.tensors.keys()].sort()).toEqual(["linear.bias", "linear.weight"]);
    expect(readJson(join(output, "config.json")).architectures).toEqual(["BertModel"]);
    expect(readFileSync(join(output, "README.md"), "utf8")).toMatch(
      /Transformers has no class .*Labels in order: bad, good, odd/s,
    );
    // Its vectors are scores: nothing for search.
    const embedding = { kind: "embedding", labels: [] };
    await expect(loadBaseModel(output, embedding, 1)).rejects.toThrow(/is a classifier/);
  });
});
