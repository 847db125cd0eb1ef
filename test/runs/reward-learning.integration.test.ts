import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadFineTunedModel } from "../../src/inference/load-fine-tuned-model-node.ts";
import { reportedRun } from "../../src/reports/report.ts";
import { runContent } from "../../src/reports/run-page.ts";
import { evaluateRun } from "../../src/runs/evaluate-run.ts";
import { readRunRecords } from "../../src/runs/read-run.ts";
import { aflora } from "../support/aflora.ts";
import { fineTune } from "../support/fine-tune.ts";
import { on } from "../support/on-event.ts";
import { writeJsonl, writeTinyLanguageModel } from "../support/tiny-language-model.ts";

let home: string;
let model: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-reward-learning-"));
  model = await writeTinyLanguageModel(join(home, "model"));
});
afterAll(() => rm(home, { recursive: true }));

/** The share of a letter in an answer. */
const OF_A_LETTER = `
export default (prompt: string, answer: string, row: { letter: string }): number =>
  [...answer].filter((letter) => letter === row.letter).length / Math.max(1, answer.length);
`;

async function configOf(name: string, given: Record<string, unknown> = {}) {
  const reward = join(home, "letter.ts");
  await writeFile(reward, OF_A_LETTER);
  const rows = Array.from({ length: 10 }, (_, i) => ({ prompt: `Say ${i}.`, letter: "e" }));
  return {
    model,
    kind: "reward-learning",
    reward,
    train: await writeJsonl(join(home, "prompts.jsonl"), rows.slice(2)),
    validation: await writeJsonl(join(home, "held.jsonl"), rows.slice(0, 2)),
    method: "lora",
    learningRate: 0.02,
    epochs: 6,
    batchSize: 4,
    maxNewTokens: 6,
    numGenerations: 6,
    threads: 1,
    output: join(home, name),
    ...given,
  };
}

const adapterOf = (folder: string): Promise<Buffer> => readFile(join(folder, "adapter", "adapter.safetensors"));

test("answers improve with a custom reward, which sees the row; records, result and report show it", async () => {
  const config = await configOf("letters", {
    learningRate: 0.05,
    maxGradNorm: 1,
    epochs: 8,
    numGenerations: 16,
    maxNewTokens: 3,
  });
  const { result, notes } = await fineTune(config);
  const { steps, evaluations, ...records } = await readRunRecords(config.output);
  const rewards = steps.map(({ rollout }) => rollout!.reward!);
  const mean = (values: number[]) => values.reduce((sum, each) => sum + each / values.length, 0);
  expect(steps).toHaveLength(16);
  expect(mean(rewards.slice(-3))).toBeGreaterThan(1.5 * mean(rewards.slice(0, 3)));
  expect(steps[0]!.rollout).toMatchObject({ answers: 64, failed: 0 });
  expect(result!.rollout).toMatchObject({ answers: 16 * 64, failed: 0 });
  expect(notes).toEqual([]);
  expect(evaluations[0]!.samples).toHaveLength(2);
  expect(evaluations[0]!.samples![0]).toMatchObject({ prompt: "Say 0.", reward: evaluations[0]!.samples![0]!.reward });
  const page = runContent(reportedRun({ steps, evaluations, ...records })).text;
  await expect(evaluateRun(config.output, { threads: 1 })).rejects.toThrow("which evaluate does not compute");
  for (const part of ["Reward", "Length of answers", "Likeliest answers to held-out prompts", "time of rewards"])
    expect(page).toContain(part);
});

test("a run that is cut off and resumed ends with the same adapter, to the bit; with KL and an int8 base, too", async () => {
  const given = { epochs: 2, base: "int8", beta: 0.1, lossType: "dr-grpo", numGenerations: 2 };
  const whole = await configOf("whole", given);
  await fineTune(whole);
  const config = await configOf("resumed", given);
  const abort = new AbortController();
  await fineTune(config, {
    signal: abort.signal,
    onEvent: on("step", ({ step }) => step === 1 && abort.abort()),
  });
  const { result } = await fineTune({ output: config.output }, { resume: true });
  expect(result!.rollout!.answers).toBe(4 * 8);
  expect((await adapterOf(config.output)).equals(await adapterOf(whole.output))).toBe(true);
});

test("a reward that throws or is NaN costs only its answer, with a note", async () => {
  const reward = join(home, "failing.mjs");
  await writeFile(
    reward,
    `let calls = 0;
     export default () => {
       calls++;
       if (calls % 4 === 0) throw new Error("no such city");
       return calls % 4 === 1 ? NaN : calls % 2;
     };`,
  );
  const config = await configOf("failing", { reward, epochs: 1 });
  const { result, notes } = await fineTune(config);
  const { steps } = await readRunRecords(config.output);
  expect(steps.map(({ rollout }) => rollout!.failed)).toEqual([12, 12]);
  expect(steps[0]!.rollout!.reward).toBe(0.5);
  expect(steps[0]!.rollout!.failure).toMatch(/threw: no such city|returned NaN/);
  expect(result!.rollout!.failed).toBe(24);
  expect(notes).toEqual([
    expect.stringMatching(/^\d+ rewards failed, so training left those answers out; the last one: the reward /),
  ]);
});

test("rewards that are all equal are named as what taught nothing", async () => {
  const reward = join(home, "zero.mjs");
  await writeFile(reward, "export default () => 0;");
  const { notes } = await fineTune(await configOf("zero", { reward, epochs: 1 }));
  expect(notes).toEqual([expect.stringMatching(/^all rewards were 0, so no answer was better than another/)]);
});

test("a program can pass a function", async () => {
  const { reward: _, ...config } = await configOf("given", { epochs: 1 });
  const asked: unknown[] = [];
  const { result } = await fineTune(config, {
    reward(prompt, answer, row) {
      asked.push(prompt, row.letter);
      return answer.length;
    },
  });
  expect(result!.rollout).toMatchObject({ answers: 48, failed: 0 });
  expect(new Set(asked)).toEqual(new Set(["e", ...Array.from({ length: 10 }, (_, i) => `Say ${i}.`)]));
});

test("a trained reward model scores answers", async () => {
  const pairs = Array.from({ length: 8 }, (_, i) => ({ prompt: `Say ${i}.`, chosen: "Yes.", rejected: "No, never." }));
  const judge = join(home, "judge");
  const shared = { model, method: "lora", epochs: 1, threads: 1 };
  const train = await writeJsonl(join(home, "pairs.jsonl"), pairs);
  await fineTune({ ...shared, kind: "reward", train, batchSize: 4, output: judge });
  const config = await configOf("judged", { reward: judge, epochs: 1, numGenerations: 2 });
  const { result } = await fineTune(config);
  expect(result!.rollout).toMatchObject({ answers: 16, failed: 0 });
  const scorer = (await loadFineTunedModel(judge)).ofKind("reward");
  const [sample] = (await readRunRecords(config.output)).evaluations[0]!.samples!;
  const [found] = await scorer.predict([[sample!.prompt, sample!.answer]]);
  expect(sample!.reward).toBeCloseTo(found!.reward, 5);
  await scorer.release();
  await expect(fineTune(await configOf("misjudged", { reward: config.output }))).rejects.toThrow(
    "is for reward-learning; name one that scores answers",
  );
});

test.each([
  [{ reward: undefined }, 'learning from rewards needs option "reward": a file'],
  [{ reward: "json" }, 'option "reward" json needs option "rewardSchema"'],
  [{ reward: "nothing.ts" }, 'option "reward": there is no file'],
  [{ reward: "lenght", rewardWords: 3 }, 'there is no reward "lenght"'],
  [{ reward: "constructor" }, 'there is no reward "constructor"'],
  [{ reward: "last-number", rewardWords: 3 }, 'option "rewardWords" does not go with option "reward" last-number'],
  [
    { reward: "length", rewardWords: 3, method: "lora", freezeBlocks: "linear" },
    'option "freezeBlocks" keeps hidden states',
  ],
  [{ reward: "length", rewardWords: 3, maxLength: 16, maxNewTokens: 16 }, "has a token left that counts"],
])("what cannot be trained is refused: %j", async (given, message) => {
  const config = await configOf("refused", given);
  await expect(fineTune(config)).rejects.toThrow(message);
});

test("estimate ends after an error that comes once the reward's file is open", async () => {
  const { output: _, ...config } = await configOf("estimated", { freezeBlocks: "linear" });
  await writeFile(join(home, "estimated.json"), JSON.stringify(config));
  // A worker that is still open would keep the process alive.
  const { code, stderr } = await aflora(["estimate", "--config", "estimated.json"], home);
  expect([code, stderr]).toEqual([2, expect.stringContaining('option "freezeBlocks" keeps hidden states')]);
});
