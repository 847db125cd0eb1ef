import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readPeftAdapter } from "../../src/base-models/peft/read-node.ts";
import { openSafetensorsFile } from "../../src/checkpoints/safetensors-node.ts";
import { exportAdapter } from "../../src/export/export-adapter-node.ts";
import { runtime } from "../support/runtime.ts";
import { rewritings, writeTinyEncoderDecoder } from "../support/synthetic-rewriting.ts";
import { tinyAdapter } from "../support/tiny-adapter.ts";

const TASK = {
  name: "custom",
  kind: "sequence-to-sequence",
  labels: [],
  metrics: ["perplexity"],
  options: { prefix: "reverse ", maxTargetLength: 5 },
};
const EXAMPLES = rewritings(12, 5).map(({ document, summary }, index) => ({
  index,
  text: document,
  textPair: summary,
}));

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-two-files-"));
});
afterAll(() => rm(home, { recursive: true }));

const readJson = async (...path: string[]) => JSON.parse(await readFile(join(home, ...path), "utf8"));

describe.each(["bart", "t5"] as const)("an adapted %s", (family) => {
  const written = async (format: "peft" | "merged" | "onnx", options = {}) => {
    const model = await writeTinyEncoderDecoder(join(home, `${family}-${format}-base`), family, {
      // As models on the hub have it, for pipelines.
      prefix: " ",
      task_specific_params: { summarization: { prefix: "other: " } },
      ...options,
    });
    const { base, adapter } = await tinyAdapter(model, "aflora", { rank: 3 }, TASK);
    const output = join(home, `${family}-${format}`);
    const report = await exportAdapter(base, adapter, { format, output }, runtime, EXAMPLES);
    expect(report.largestDifference).toBeLessThan(1e-5);
    expect(report.comparedTexts).toBe(12);
    return { model, output };
  };

  test("in PEFT's form has the names of Transformers' model, and is read back unchanged", async () => {
    const { model, output } = await written("peft");
    expect(await readJson(`${family}-peft`, "adapter_config.json")).toMatchObject({
      task_type: "SEQ_2_SEQ_LM",
      modules_to_save: [],
    });
    const { tensors } = await openSafetensorsFile(join(output, "adapter_model.safetensors"));
    const [layer, ...others] =
      family === "bart"
        ? ["model.decoder.layers.1.encoder_attn.q_proj", "model.encoder.layers.0.fc2"]
        : ["decoder.block.1.layer.1.EncDecAttention.q", "encoder.block.0.layer.1.DenseReluDense.wo"];
    for (const name of [layer, ...others])
      expect([...tensors.keys()]).toContain(`base_model.model.${name}.lora_A.weight`);
    const { description } = await readPeftAdapter(output, { model });
    expect(description.task.kind).toBe("sequence-to-sequence");
  });

  test("merged has Transformers' class, the settings for generation, and only the prefix of its training", async () => {
    const { output } = await written("merged");
    const config = await readJson(`${family}-merged`, "config.json");
    expect(config.architectures).toEqual([`${family === "bart" ? "Bart" : "T5"}ForConditionalGeneration`]);
    expect(config.prefix).toBeUndefined();
    expect(config.id2label).toBeUndefined();
    expect(config.task_specific_params.summarization).toEqual({ prefix: "reverse " });
    const { tensors } = await openSafetensorsFile(join(output, "model.safetensors"));
    const shared = family === "bart" ? ["model.shared.weight", "final_logits_bias"] : ["shared.weight"];
    expect([...tensors.keys()]).toEqual(expect.arrayContaining(shared));
    expect(await readJson(`${family}-merged`, "generation_config.json")).toMatchObject({
      decoder_start_token_id: family === "bart" ? 2 : 1,
      eos_token_id: [2],
      // From config.json, as the base model has no generation_config.json.
      pad_token_id: 1,
    });
  });

  test("as ONNX is two files that compute the same", async () => {
    const { output } = await written("onnx");
    expect((await readdir(join(output, "onnx"))).sort()).toEqual(["decoder_model_merged.onnx", "encoder_model.onnx"]);
    const files = [
      "README.md",
      "config.json",
      "generation_config.json",
      "onnx",
      "tokenizer.json",
      "tokenizer_config.json",
    ];
    expect((await readdir(output)).sort()).toEqual(files);
    // Texts are cut as in training; the base model reads longer ones.
    expect((await readJson(`${family}-onnx`, "tokenizer_config.json")).model_max_length).toBe(24);
  });

  test("can have both files in 4 bits", async () => {
    // As wide that the table of words is worth storing in fewer bits.
    const model = await writeTinyEncoderDecoder(join(home, `${family}-q4-base`), family, { vocab_size: 2048 });
    const { base, adapter } = await tinyAdapter(model, "aflora", { rank: 3 }, TASK);
    const output = join(home, `${family}-q4`);
    const told: { done: number; of: number }[] = [];
    const onWriting = (done: number, of: number) => told.push({ done, of });
    const options = { format: "onnx", dtype: "q4", output } as const;
    const report = await exportAdapter(base, adapter, options, runtime, EXAMPLES, { onWriting });
    expect(report.quantized!.largestDifference).toBeGreaterThan(0);
    expect(report.quantized!.sameLabel).toBeGreaterThan(0.5);
    for (const name of ["decoder_model_merged", "encoder_model"]) {
      expect(report.files[`onnx/${name}_q4.onnx`]! / report.files[`onnx/${name}.onnx`]!, name).toBeLessThan(0.8);
    }
    expect((await readJson(`${family}-q4`, "config.json"))["transformers.js_config"]).toEqual({ dtype: "fp32" });

    // A file in 4 bits counts as much as its original.
    const { files } = report;
    const of = 2 * (files["onnx/encoder_model.onnx"]! + files["onnx/decoder_model_merged.onnx"]!);
    expect(new Set(told.map((each) => each.of))).toEqual(new Set([of]));
    const done = told.map((each) => each.done);
    expect(done.toSorted((a, b) => a - b)).toEqual(done);
    expect(done.at(-1)).toBeCloseTo(of);
  });
});
