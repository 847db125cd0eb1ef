import { expect } from "vitest";
import type { TensorSource } from "../../src/checkpoints/tensor-source.ts";
import { copyOf } from "../../src/graph/tensor.ts";
import { full } from "../../src/methods/full.ts";
import type { Objective } from "../../src/tasks/losses/objective.ts";
import type { TrainingExample } from "../../src/tasks/task-kind.ts";
import { AdamW } from "../../src/training/optimizer/adamw.ts";
import { withReference } from "../../src/training/prediction/reference.ts";
import { TrainingStep } from "../../src/training/step.ts";
import { runtime } from "../support/runtime.ts";
import { layersOf, openFixture, readBase, readJson, relativeError } from "../support/small-bert.ts";

/** Recording of one loss by oracle/trl_steps.py. */
interface Recorded {
  name: string;
  /** One entry per step; gradients were kept for the last one. */
  losses: readonly number[];
  /** Gradients by the names of loss and model. */
  gradients: TensorSource;
  learningRate: number;
  /** Smallest magnitude for the relative comparison of losses. */
  leastLoss?: number;
}

/** The small decoder `llama-1`, all of whose weights train. */
async function wholeLlama() {
  const source = await openFixture("models/llama-1/model.safetensors");
  const base = await readBase(readJson("models/llama-1/config.json"), source, "languageModel");
  const weights = new Map([...base.weights].map(([name, values]) => [name, copyOf(values)]));
  const adaptation = full.adapt({}, layersOf(base));
  return { model: { ...base, adaptation, trainsHead: () => true }, weights };
}

/** Repeats the recorded steps with AdamW on the same examples. Losses and the last gradients must match TRL. */
export async function replaySteps(
  objective: Objective,
  given: readonly TrainingExample[],
  { name, losses, gradients, learningRate, leastLoss = 0 }: Recorded,
  tokenBudget: number,
): Promise<void> {
  const { model, weights } = await wholeLlama();
  const examples = await withReference(objective, given, { model, weights, runtime }, { tokenBudget: 64 });
  const settings = { objective, tokenBudget, dropout: false, seed: 1 };
  const step = await TrainingStep.compile(model, weights, runtime, settings);
  try {
    let optimizer: AdamW | undefined;
    for (const [t, expected] of losses.entries()) {
      const outcome = await step.run(t, examples);
      const size = Math.max(Math.abs(expected), leastLoss);
      expect(Math.abs(outcome.loss - expected) / size, `loss of step ${t}`).toBeLessThan(2e-4);
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
}
