import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AutoModelForCausalLM, AutoTokenizer, env, type Message, type Tensor } from "@huggingface/transformers";
import { afterAll, beforeAll, expect, test } from "vitest";
import { exportRun } from "../../src/runs/export-run.ts";
import { FineTunedModel } from "../../src/runs/load-fine-tuned-model.ts";
import { nodeRuntime } from "../../src/runtime/runtime-node.ts";
import { ANSWERS, FOLLOWED_UP, trainedToAnswer } from "../tiny-language-model.ts";

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-language-model-onnx-"));
  env.allowRemoteModels = false;
  env.localModelPath = home;
  await trainedToAnswer(home);
});
afterAll(() => rm(home, { recursive: true }));

const PROMPTS = [...ANSWERS.map(([content]) => [{ role: "user", content }]), FOLLOWED_UP.slice(0, -1)];

test("Transformers.js writes with the ONNX folder what the run's model writes", async () => {
  const report = await exportRun(
    join(home, "run"),
    { format: "onnx", output: join(home, "onnx"), dtype: "q8" },
    { threads: 1 },
  );
  expect(report.largestDifference).toBeLessThan(1e-4);
  expect(report.q8!.sameLabel).toBeGreaterThan(0.9);
  expect(Object.keys(report.files)).toEqual(
    expect.arrayContaining(["onnx/model.onnx", "onnx/model_quantized.onnx", "generation_config.json"]),
  );
  const own = await FineTunedModel.load(join(home, "run"), nodeRuntime({ threads: 1 }));
  const expected = await own.answers(PROMPTS);
  await own.release();

  const tokenizer = await AutoTokenizer.from_pretrained("onnx");
  for (const dtype of ["fp32", "q8"] as const) {
    const model = await AutoModelForCausalLM.from_pretrained("onnx", { dtype });
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
    expect(texts, dtype).toEqual(expected.map(({ text }) => text));
    await model.dispose();
  }
});
