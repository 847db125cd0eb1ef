import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadFineTunedModel } from "../../src/inference/load-fine-tuned-model-node.ts";
import { evaluateRun } from "../../src/runs/evaluate-run.ts";
import { exportRun } from "../../src/runs/export-run.ts";
import { fineTune } from "../support/fine-tune.ts";
import { on } from "../support/on-event.ts";

const LLAMA = fileURLToPath(new URL("../fixtures/gguf/llama.gguf", import.meta.url));

let folder: string;
let model: string;
let given: Record<string, unknown>;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "gguf-base-"));
  model = join(folder, "small.gguf");
  await cp(LLAMA, model);
  const answers = ["a cat", "the dog", "a film", "no plot", "the end", "good fun"];
  const rows = answers.map((completion, i) => ({ prompt: `what is ${i}?`, completion }));
  const file = join(folder, "answers.jsonl");
  await writeFile(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  given = {
    model,
    train: file,
    validation: file,
    epochs: 3,
    batchSize: 2,
    rank: 2,
    kind: "language-model",
    threads: 1,
  };
});
afterAll(() => rm(folder, { recursive: true }));

describe("a run on a GGUF file", () => {
  it("trains, resumes after a cut, predicts, evaluates and exports", async () => {
    const output = join(folder, "run");
    const whole = await fineTune({ ...given, output: join(folder, "whole") });
    const cut = new AbortController();
    const first = await fineTune(
      { ...given, output },
      { signal: cut.signal, onEvent: on("step", ({ step }) => (step === 4 ? cut.abort() : undefined)) },
    );
    expect(first.result).toBeUndefined();
    const { result } = await fineTune({ output }, { resume: true });
    expect(result!.metrics).toEqual(whole.result!.metrics);

    const [evaluation] = await evaluateRun(output);
    expect(evaluation!.metrics.perplexity).toBeCloseTo(result!.metrics.perplexity!, 4);
    const loaded = await loadFineTunedModel(output);
    expect(loaded.base.files.location).toBe(model);
    expect(await loaded.predict("what is 1?")).toMatchObject({ perplexity: expect.any(Number) });
    await loaded.release();

    const report = await exportRun(output, { format: "gguf", output: join(folder, "out") });
    expect(Object.keys(report.files).sort()).toEqual(["Modelfile", "adapter.gguf"]);
    expect(report.largestDifference).toBeLessThan(1e-4);
    expect(report.notes).toEqual([]);
    // The base model's folder in Hugging Face's form, with the adapter in it.
    const merged = await exportRun(output, { format: "merged", output: join(folder, "merged") });
    expect(Object.keys(merged.files)).toEqual(
      expect.arrayContaining(["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]),
    );
    expect(merged.largestDifference).toBeLessThan(1e-4);
  });

  it("is refused if the file was replaced or removed", async () => {
    const output = join(folder, "changed");
    await fineTune({ ...given, output, epochs: 1 });
    await cp(fileURLToPath(new URL("../fixtures/gguf/llama3.gguf", import.meta.url)), model);
    await expect(evaluateRun(output)).rejects.toThrow(/small\.gguf is not the base model that/);
    await rm(model);
    await expect(evaluateRun(output)).rejects.toThrow(/there is no file .*small\.gguf; check the path/);
    await cp(LLAMA, model);
  });
});
