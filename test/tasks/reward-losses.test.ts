import { describe, expect, test } from "vitest";
import { copyOf } from "../../src/graph/tensor.ts";
import { full } from "../../src/methods/full.ts";
import { rewardLearning } from "../../src/tasks/kinds/reward-learning.ts";
import { advantagesOf, type ScaleRewards } from "../../src/tasks/losses/reward-losses.ts";
import { AdamW } from "../../src/training/adamw.ts";
import { withReference } from "../../src/training/reference.ts";
import { TrainingStep } from "../../src/training/step.ts";
import { runtime } from "../support/runtime.ts";
import { layersOf, openFixture, readBase, readJson, relativeError } from "../support/small-bert.ts";

interface Case {
  settings: { lossType: string; scaleRewards?: ScaleRewards; beta?: number; temperature?: number };
  advantages: number[][];
  losses: number[];
}

// What oracle/rewards.py wrote with TRL.
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

async function policy() {
  const source = await openFixture("models/llama-1/model.safetensors");
  const base = await readBase(readJson("models/llama-1/config.json"), source, "languageModel");
  const weights = new Map([...base.weights].map(([name, values]) => [name, copyOf(values)]));
  const adaptation = full.adapt({}, layersOf(base));
  return { model: { ...base, adaptation, trainsHead: () => true }, weights };
}

describe.each(Object.entries(cases))("%s is TRL's", (name, { settings, advantages, losses }) => {
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
    const objective = rewardLearning.objectiveFor!(options);
    const { model, weights } = await policy();
    const started = { model, weights, runtime };
    const written = rewardLearning.rollout!.examplesOf(answered, options);
    const teaching = settings.beta ? known.flat() : advantages.flat().filter((each) => each !== 0);
    expect(written).toHaveLength(teaching.length);
    const examples = await withReference(objective, written, started, { tokenBudget: 64 });
    const step = await TrainingStep.compile(model, weights, runtime, {
      objective,
      tokenBudget,
      dropout: false,
      seed: 1,
    });
    try {
      let optimizer: AdamW | undefined;
      for (const [t, expected] of losses.entries()) {
        const outcome = await step.run(t, examples);
        // Of advantages, which come to 0 within a group, the loss may be as small as rounding.
        expect(Math.abs(outcome.loss - expected), `loss of step ${t}`).toBeLessThan(
          2e-4 * Math.max(Math.abs(expected), 0.01),
        );
        optimizer ??= new AdamW([{ names: [...outcome.gradients.keys()], learningRate, weightDecay: 0 }]);
        if (t < losses.length - 1) {
          optimizer.step(weights, outcome.gradients, 1);
          continue;
        }
        const kept = [...gradients.tensors.keys()].filter((key) => key.startsWith(`${name}.model.`));
        expect(kept).toHaveLength(3);
        for (const key of kept) {
          const own = outcome.gradients.get(key.slice(`${name}.model.`.length));
          expect(relativeError(own!, await gradients.read(key)), key).toBeLessThan(2e-3);
        }
      }
    } finally {
      await step.release();
    }
  });
});

test("where all answers to all prompts are as good, one example is left, which changes nothing", () => {
  const alike = answered.map(({ prompt, answers }) => ({
    prompt,
    answers: answers.map(({ ids }) => ({ ids, reward: 1 })),
  }));
  const examples = rewardLearning.rollout!.examplesOf(alike, { maxNewTokens, numGenerations: 3 });
  expect(examples).toHaveLength(1);
  const { data } = examples[0]!.targets;
  expect(data.filter((_, i) => i % 4 === 1).every((advantage) => advantage === 0)).toBe(true);
});
