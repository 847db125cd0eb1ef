import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { storyOf } from "../../src/cli/commands/tune.ts";
import { studyCsv } from "../../src/reports/study-tables.ts";
import { runStudy, type TrialRunner } from "../../src/studies/run-study.ts";
import { trialsOfStudy } from "../../src/studies/scored-trial.ts";
import type { TrialOutcome } from "../../src/studies/study.ts";
import { parseStudy } from "../../src/studies/study-file.ts";
import { planStudy } from "../../src/studies/study-plan.ts";
import { studyResults } from "../../src/studies/study-results.ts";
import { tune } from "../../src/studies/tune.ts";
import { aflora } from "../support/aflora.ts";
import { writeJsonl, writeTinyLanguageModel } from "../support/tiny-language-model.ts";
import { tickets, writeCsv } from "../support/tiny-model.ts";
import { hereRunner } from "./here-runner.ts";

let folder: string;
let options: Record<string, unknown>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "aflora-study-answers-"));
  const model = await writeTinyLanguageModel(join(folder, "model"));
  const rows = ["one", "two", "three", "four"].flatMap((word, i) =>
    ["cats", "mats", "days"].map((what) => ({ prompt: `${word} ${what}?`, completion: `${i + 1}` })),
  );
  const train = await writeJsonl(join(folder, "train.jsonl"), rows);
  options = { model, train, validation: train, method: "lora", learningRate: 0.03, epochs: 2, threads: 1 };
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function run(given: Record<string, unknown>, output: string) {
  const plan = await planStudy(parseStudy({ options, vary: { rank: [2, 4] }, ...given }, "answers"));
  const ran: string[] = [];
  const outcome = await runStudy(plan, join(folder, output), hereRunner, { onTrial: ({ id }) => ran.push(id) });
  const trials = trialsOfStudy(plan, outcome);
  return { ran, outcome, results: studyResults({ ...plan.study, notes: plan.notes }, trials) };
}

test("answers are scored if a study requests them, even for finished trials", async () => {
  const without = await run({ holdOut: 0 }, "later");
  expect(without.results.trials.map(({ scores }) => Object.keys(scores))).toEqual(
    Array(2).fill(["perplexity", "token_accuracy"]),
  );
  const result = join(without.outcome.trials[0]!.directory, "result.json");
  const trained = (await stat(result)).mtimeMs;
  const { ran, results } = await run({ holdOut: 0, generate: 5 }, "later");
  expect(ran).toHaveLength(2);
  expect((await stat(result)).mtimeMs).toBe(trained);
  for (const { scores } of results.trials) {
    expect(Object.keys(scores)).toEqual(
      expect.arrayContaining(["perplexity", "token_accuracy", "exact_match", "last_number", "rougeLsum"]),
    );
    expect(scores.last_number! * 5).toBeCloseTo(Math.round(scores.last_number! * 5), 9);
  }
  // The same examples chose the epoch.
  expect(results.tasks[0]).toMatchObject({ metric: "perplexity", reportedSeparately: false });
  expect(studyCsv(results).split("\n")[0]).toMatch(/,reason,token_accuracy,.*last_number,/);
  expect((await run({ holdOut: 0, generate: 5 }, "later")).ran).toEqual([]);
});

test("aflora study --generate answers the file that played no part in the choice", async () => {
  const flags = ["--model", "--train", "--validation"].flatMap((name) => [name, String(options[name.slice(2)])]);
  const others = ["--method", "lora", "--epochs", "1", "--threads", "1", "--vary", "rank=2", "--output", "apart"];
  expect((await aflora(["study", ...flags, ...others], folder)).code).toBe(0);
  const { code, stderr } = await aflora(["study", ...flags, ...others, "--generate", "3"], folder);
  expect(stderr).toContain("scores are reported on validation data that played no part in it");
  expect(code).toBe(0);
  const { trials, tasks } = JSON.parse(await readFile(join(folder, "apart", "study.json"), "utf8"));
  expect(Object.keys(trials[0].scores)).toContain("last_number");
  expect(tasks[0].reportedSeparately).toBe(true);
});

describe("rewards, which only training computes", () => {
  const rewards = { kind: "reward-learning", reward: "length", rewardWords: 2, numGenerations: 2, maxNewTokens: 4 };
  const prompts = ["one cat?", "two mats?", "three days?", "four cats?", "one mat?", "two days?"];
  let given: Record<string, unknown>;
  beforeAll(async () => {
    const train = await writeJsonl(
      join(folder, "prompts.jsonl"),
      prompts.map((prompt) => ({ prompt })),
    );
    given = { ...options, train, validation: train, ...rewards };
  });

  test("a study reports the runs' own rewards, and notes that it leaves the validation data out", async () => {
    const { outcome, results } = await run({ options: { ...given, epochs: 1 } }, "rewards");
    expect(outcome.trials.map(({ status }) => status)).toEqual(["finished", "finished"]);
    expect(results.notes[0]).toMatch(
      /Rewards are computed in training only, so validation data is left out: .* too high/,
    );
    for (const { trial, records } of outcome.trials) {
      expect(trial.reported).toBeUndefined();
      expect(records!.result!.rollout!.answers).toBeGreaterThan(0);
    }
  });

  test("tune compares the winner with the defaults by the runs' own rewards", async () => {
    let begun = 0;
    const few: TrialRunner = async (job) => (job.resume || ++begun <= 3 ? hereRunner(job) : { failed: "for a test" });
    // So much time that none is short, whatever the machine.
    const found = await tune({ options: given, minutes: 100, output: join(folder, "tuned"), seed: 1 }, few, {});
    const other = found.outcome.trials.find((each) => each.status === "finished" && each !== found.defaults)!;
    const rewardOf = ({ records }: TrialOutcome): string => records!.result!.metrics.reward!.toFixed(4);
    expect(await storyOf(found, other, given)).toContain(
      `There its reward is ${rewardOf(other)}, against ${rewardOf(found.defaults)} for the defaults.`,
    );
  });
});

test("a model that generates no answers is refused before anything is trained", async () => {
  const train = await writeCsv(join(folder, "tickets.csv"), tickets());
  const own = { train, text: "message", label: "team", threads: 1 };
  const plan = planStudy(parseStudy({ options: own, vary: { rank: [2] }, generate: 3 }, "no answers"));
  await expect(plan).rejects.toThrow("models of kind classification write no answers to score; leave generate out");
});
