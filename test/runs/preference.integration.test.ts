import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadFineTunedModel } from "../../src/inference/load-fine-tuned-model-node.ts";
import { evaluateRun } from "../../src/runs/evaluate-run.ts";
import { exportRun } from "../../src/runs/export-run.ts";
import { fineTune } from "../support/fine-tune.ts";
import { rewritings, writeTinyEncoderDecoder } from "../support/synthetic-rewriting.ts";
import { questions, writeJsonl, writeTinyLanguageModel } from "../support/tiny-language-model.ts";

let home: string;
let model: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-preference-"));
  model = await writeTinyLanguageModel(join(home, "model"));
});
afterAll(() => rm(home, { recursive: true }));

/** Questions whose polite answers are chosen. */
const pairs = questions(40).map(({ prompt, completion }) => ({
  prompt,
  chosen: `Good day! ${completion}`,
  rejected: `${completion} Go away.`,
}));
const judged = pairs.map(({ prompt, chosen, rejected }, i) => ({
  prompt,
  completion: i % 2 === 0 ? chosen : rejected,
  label: i % 2 === 0,
}));

async function configOf(name: string, given: Record<string, unknown> = {}) {
  const rows = name.startsWith("kto") ? judged : pairs;
  return {
    model,
    train: await writeJsonl(join(home, `${name}.jsonl`), rows.slice(10)),
    validation: await writeJsonl(join(home, `${name}-held.jsonl`), rows.slice(0, 10)),
    method: "lora",
    learningRate: 1e-2,
    epochs: 3,
    maxLength: 128,
    threads: 1,
    output: join(home, name),
    ...given,
  };
}

async function train(name: string, given?: Record<string, unknown>) {
  const config = await configOf(name, given);
  const { result } = await fineTune(config);
  const { metrics, float32Metrics } = result!;
  return { output: config.output, metrics, float32Metrics };
}

describe.each([
  ["dpo", {}],
  ["dpo-int8", { base: "int8", recompute: true }],
] as const)("%s", (name, given) => {
  test("learns which answer is better, and evaluate finds what training found", async () => {
    const { output, metrics, float32Metrics } = await train(name, given);
    expect(metrics.reward_accuracy).toBeGreaterThan(0.9);
    expect(metrics.reward_margin).toBeCloseTo(metrics.reward_chosen! - metrics.reward_rejected!, 5);
    if (name === "dpo-int8") {
      // Both compare with the model before training.
      expect(Math.abs(float32Metrics!.reward_margin! / metrics.reward_margin! - 1)).toBeLessThan(0.2);
      return;
    }
    for (const format of ["peft", "merged", "gguf"] as const) {
      const report = await exportRun(output, { format, output: join(home, format) }, { threads: 1 });
      expect(report.largestDifference).toBeLessThan(1e-4);
    }
    const [evaluation] = await evaluateRun(output, { threads: 1 });
    for (const [metric, value] of Object.entries(metrics))
      expect(evaluation!.metrics[metric], metric).toBeCloseTo(value, 4);
  });
});

test("kto learns from answers that are good or not", async () => {
  const { metrics } = await train("kto", {});
  expect(metrics.reward_chosen).toBeGreaterThan(0);
  expect(metrics.reward_rejected).toBeLessThan(0);
});

test("a reward model prefers the better answer, even for an unseen prompt", async () => {
  const { output, metrics } = await train("reward", { kind: "reward" });
  expect(metrics.reward_accuracy).toBe(1);
  const report = await exportRun(output, { format: "peft", output: join(home, "reward-peft") }, { threads: 1 });
  expect(report.largestDifference).toBeLessThan(1e-4);
  const found = await loadFineTunedModel(output);
  try {
    const scorer = found.ofKind("reward");
    const scores = await scorer.predict(
      pairs.slice(0, 4).flatMap(
        ({ prompt, chosen, rejected }) =>
          [
            [prompt, chosen],
            [prompt, rejected],
          ] as const,
      ),
    );
    for (let i = 0; i < scores.length; i += 2) expect(scores[i]!.reward).toBeGreaterThan(scores[i + 1]!.reward);
  } finally {
    await found.release();
  }
});

test("an encoder-decoder learns preferences too", async () => {
  const rows = rewritings(20, 1).map(({ document, summary }) => ({
    prompt: document,
    chosen: summary,
    rejected: document,
  }));
  const output = join(home, "bart-run");
  const { result } = await fineTune({
    model: await writeTinyEncoderDecoder(join(home, "bart"), "bart"),
    train: await writeJsonl(join(home, "bart.jsonl"), rows),
    kind: "preference",
    method: "lora",
    learningRate: 1e-2,
    epochs: 3,
    threads: 1,
    output,
  });
  expect(result!.metrics.reward_margin).toBeGreaterThan(0);
});

test("a run that is cut off and resumed ends with the same adapter, to the bit", async () => {
  const whole = await train("dpo-whole", { epochs: 2 });
  const config = await configOf("dpo-whole", { epochs: 2, output: join(home, "dpo-resumed") });
  const abort = new AbortController();
  await fineTune(config, {
    signal: abort.signal,
    onEvent(event) {
      if (event.kind === "step" && event.step === 5) abort.abort();
    },
  });
  await fineTune({ output: config.output }, { resume: true });
  const read = (folder: string) => readFile(join(folder, "adapter", "adapter.safetensors"));
  expect((await read(config.output)).equals(await read(whole.output))).toBe(true);
});
