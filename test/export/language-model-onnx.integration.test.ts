import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AutoModelForCausalLM, AutoTokenizer, env, type Message, type Tensor } from "@huggingface/transformers";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadBaseModel } from "../../src/base-models/load-base-model-node.ts";
import { openAdapter } from "../../src/base-models/open-adapter-node.ts";
import { writeOnnxFolder } from "../../src/export/onnx/folder.ts";
import { diskFolder } from "../../src/export/output-folder-node.ts";
import { loadFineTunedModel } from "../../src/inference/load-fine-tuned-model-node.ts";
import { exportRun } from "../../src/runs/export-run.ts";
import { runtime } from "../support/runtime.ts";
import { ANSWERS, FOLLOWED_UP, trainedToAnswer } from "../support/tiny-language-model.ts";

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-language-model-onnx-"));
  env.allowRemoteModels = false;
  env.localModelPath = home;
  // As many words that the table is worth storing in fewer bits; the tokenizer knows the first of them.
  await trainedToAnswer(home, { vocab_size: 2048 });
});
afterAll(() => rm(home, { recursive: true }));

const PROMPTS = [...ANSWERS.map(([content]) => [{ role: "user", content }]), FOLLOWED_UP.slice(0, -1)];

const readJson = async (path: string) => JSON.parse(await readFile(path, "utf8"));

test.each([
  ["q8", "onnx/model_quantized.onnx", 0.5],
  ["q4", "onnx/model_q4.onnx", 0.5],
] as const)(
  "Transformers.js writes with the ONNX folder of dtype %s what the run's model writes",
  async (dtype, file, size) => {
    const report = await exportRun(
      join(home, "run"),
      { format: "onnx", output: join(home, dtype), dtype },
      { threads: 1 },
    );
    expect(report.largestDifference).toBeLessThan(1e-4);
    expect(report.quantized!.sameLabel).toBeGreaterThan(0.9);
    expect(report.quantized!.largestDifference).toBeGreaterThan(0);
    expect(Object.keys(report.files)).toEqual(expect.arrayContaining([file, "generation_config.json"]));
    expect(report.files[file]! / report.files["onnx/model.onnx"]!).toBeLessThan(size);
    // In a page, Transformers.js loads q8 unless the folder names another.
    const { "transformers.js_config": asked } = await readJson(join(home, dtype, "config.json"));
    expect(asked).toEqual(dtype === "q8" ? undefined : { dtype: "fp32" });
    expect(await readJson(join(home, dtype, "generation_config.json"))).toMatchObject({ do_sample: false });
    const own = await loadFineTunedModel(join(home, "run"), runtime);
    const expected = await own.answers(PROMPTS);
    await own.release();

    const tokenizer = await AutoTokenizer.from_pretrained(dtype);
    for (const stored of ["fp32", dtype] as const) {
      const model = await AutoModelForCausalLM.from_pretrained(dtype, { dtype: stored });
      const texts: string[] = [];
      for (const prompt of PROMPTS) {
        const inputs = tokenizer.apply_chat_template(prompt as Message[], {
          add_generation_prompt: true,
          return_dict: true,
        }) as {
          input_ids: Tensor;
        };
        const ids = (await model.generate({ ...inputs, max_new_tokens: 60 })) as Tensor;
        const answer = ids.slice(null, [inputs.input_ids.dims.at(-1)!, ids.dims.at(-1)!]);
        texts.push(tokenizer.batch_decode(answer, { skip_special_tokens: true })[0]!);
      }
      expect(texts, stored).toEqual(expected.map(({ text }) => text));
      await model.dispose();
    }
  },
);

test("weights in a second file, as for a large model, are found by Transformers.js", async () => {
  const adapter = await openAdapter(join(home, "run"));
  const base = await loadBaseModel(adapter.description.model, adapter.description.task);
  const logits: Tensor[] = [];
  for (const [folder, most] of [
    ["one-file", 1e9],
    ["beside", 2 ** 17],
  ] as const) {
    await writeOnnxFolder(diskFolder(join(home, folder)), base, adapter.description, base.weights, {
      quantization: "q4",
      most,
    });
    const tokenizer = await AutoTokenizer.from_pretrained(folder);
    for (const dtype of ["fp32", "q4"] as const) {
      const model = await AutoModelForCausalLM.from_pretrained(folder, { dtype });
      logits.push((await model(tokenizer("Where is the parcel?"))).logits);
      await model.dispose();
    }
  }
  const [whole, wholeIn4, beside, besideIn4] = logits;
  expect(beside!.data).toEqual(whole!.data);
  expect(besideIn4!.data).toEqual(wholeIn4!.data);
  const files = await readdir(join(home, "beside", "onnx"));
  expect(files).toEqual(expect.arrayContaining(["model.onnx_data", "model.onnx_data_1"]));
  const config = await readJson(join(home, "beside", "config.json"));
  // In 4 bits, the weights fit into the model's own file.
  expect(config["transformers.js_config"].use_external_data_format).toEqual({
    "model.onnx": files.filter((file) => file.startsWith("model.onnx_data")).length,
  });
});
