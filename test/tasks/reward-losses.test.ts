import { describe, expect, test } from "vitest";
import { rewardLearning } from "../../src/tasks/kinds/reward-learning.ts";
import { advantagesOf, type ScaleRewards } from "../../src/tasks/losses/grpo.ts";
import { openFixture, readJson } from "../support/small-bert.ts";
import { replaySteps } from "./recorded-steps.ts";

interface Case {
  settings: { lossType: string; scaleRewards?: ScaleRewards; beta?: number; temperature?: number };
  advantages: number[][];
  losses: number[];
}

// Written by oracle/rewards.py with TRL.
const {
  rows,
  rewards,
  maxNewTokens,
  learningRate,
  cases,
}: {
  rows: { prompt: number[]; answers: number[][] }[];
  rewards: (number | null)[][];
  maxNewTokens: number;
  learningRate: number;
  cases: Record<string, Case>;
} = readJson("rewards/steps.json");
const gradients = await openFixture("rewards/gradients.safetensors");

const known = rewards.map((group) => group.map((reward) => reward ?? undefined));

const answered = rows.map(({ prompt, answers }, index) => ({
  prompt: {
    index,
    encoding: { inputIds: Int32Array.from(prompt), tokenTypeIds: new Int32Array(prompt.length) },
  },
  answers: answers.map((ids, i) => ({ ids, reward: known[index]![i] })),
}));

describe.each(Object.entries(cases))("%s matches TRL", (name, { settings, advantages, losses }) => {
  test("advantages", () => {
    const own = advantagesOf(known, settings.scaleRewards ?? "group");
    own.flat().forEach((value, i) => {
      expect(value).toBeCloseTo(advantages.flat()[i]!, 5);
    });
  });

  test.each([
    ["an answer a run", 8],
    ["all in one run", 1000],
  ])("five steps and the gradients after them, %s", async (_, tokenBudget) => {
    const options = { ...settings, maxNewTokens, numGenerations: 3 };
    const written = rewardLearning.writing!.rollout!.examplesOf(answered, options);
    const teaching = settings.beta ? known.flat() : advantages.flat().filter((each) => each !== 0);
    expect(written).toHaveLength(teaching.length);
    // Advantages sum to 0 within a group, so the loss may be as small as rounding errors.
    const recorded = { name, losses, gradients, learningRate, leastLoss: 0.01 };
    await replaySteps(rewardLearning.objectiveFor!(options), written, recorded, tokenBudget);
  });
});

test("if all answers to all prompts are equally good, one example remains, which changes nothing", () => {
  const alike = answered.map(({ prompt, answers }) => ({
    prompt,
    answers: answers.map(({ ids }) => ({ ids, reward: 1 })),
  }));
  const examples = rewardLearning.writing!.rollout!.examplesOf(alike, { maxNewTokens, numGenerations: 3 });
  expect(examples).toHaveLength(1);
  const { data } = examples[0]!.targets;
  expect(data.filter((_, i) => i % 4 === 1).every((advantage) => advantage === 0)).toBe(true);
});
