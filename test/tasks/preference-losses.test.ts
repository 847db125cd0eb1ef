import { describe, expect, test } from "vitest";
import { copyOf } from "../../src/graph/tensor.ts";
import { full } from "../../src/methods/full.ts";
import { preference } from "../../src/tasks/kinds/preference.ts";
import type { Tokenizer } from "../../src/tokenization/tokenizer.ts";
import { AdamW } from "../../src/training/adamw.ts";
import { referredTo, withReference } from "../../src/training/reference.ts";
import { TrainingStep } from "../../src/training/step.ts";
import { runtime } from "../support/runtime.ts";
import { layersOf, openFixture, readBase, readJson, relativeError } from "../support/small-bert.ts";

interface Row {
  prompt: number[];
  chosen: number[];
  rejected: number[];
}
interface Case {
  settings: { beta: number; labelSmoothing?: number; gamma?: number };
  losses: number[];
}

// What oracle/preferences.py wrote with TRL.
const {
  rows,
  good,
  learningRate,
  cases,
}: {
  rows: Row[];
  good: number[];
  learningRate: number;
  cases: Record<string, Case>;
} = readJson("preferences/steps.json");
const gradients = await openFixture("preferences/gradients.safetensors");

const textOf = (ids: readonly number[]): string => ids.join(" ");

/** Ids written as numbers, with no template and nothing around them. */
const numbers = {
  specialTokens: {},
  encode: (text: string) => {
    const ids = text.split(/\s+/).filter(Boolean).map(Number);
    return { inputIds: Int32Array.from(ids), tokenTypeIds: new Int32Array(ids.length) };
  },
  idsOf: (text: string) => text.split(/\s+/).filter(Boolean).map(Number),
  decode: textOf,
} as unknown as Tokenizer;

function encodedRows(name: string) {
  const judged = name === "kto";
  return rows.map(({ prompt, chosen, rejected }, index) => {
    const other = judged ? rows.at(index - 1)!.chosen : rejected;
    const example = {
      index,
      text: textOf(prompt),
      textPair: textOf(chosen),
      texts: [textOf(other)],
      ...(judged && { label: good[index]! }),
    };
    const encoded = preference.encode(example, numbers, 100);
    return { ...encoded, ...preference.targets(example, encoded, []) };
  });
}

async function policy() {
  const source = await openFixture("models/llama-1/model.safetensors");
  const base = await readBase(readJson("models/llama-1/config.json"), source, "languageModel");
  const weights = new Map([...base.weights].map(([name, values]) => [name, copyOf(values)]));
  const adaptation = full.adapt({}, layersOf(base));
  return { model: { ...base, adaptation, trainsHead: () => true }, weights };
}

describe.each(Object.entries(cases))("%s is TRL's", (name, { settings, losses }) => {
  test.each([
    ["an example, or a text, a run", 8],
    ["all in one run", 1000],
  ])("five steps and the gradients after them, %s", async (_, tokenBudget) => {
    const loss = name.replace("-smoothed", "");
    const objective = preference.objectiveFor!({ preferenceLoss: loss, ...settings });
    const { model, weights } = await policy();
    const examples = await withReference(
      objective,
      encodedRows(name),
      { model, weights, runtime },
      { tokenBudget: 64 },
    );
    const options = { objective, tokenBudget, dropout: false, seed: 1 };
    const step = await TrainingStep.compile(model, weights, runtime, options);
    try {
      let optimizer: AdamW | undefined;
      for (const [t, expected] of losses.entries()) {
        const outcome = await step.run(t, examples);
        expect(Math.abs(outcome.loss / expected - 1), `loss of step ${t}`).toBeLessThan(2e-4);
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

test("what a loss does not compare with is not measured, and a row's reference stands in its column alone", async () => {
  const [example] = encodedRows("dpo");
  const simpo = preference.objectiveFor!({ preferenceLoss: "simpo", beta: 2 });
  expect(referredTo(simpo, example!.targets, new Float32Array(3))).toEqual(example!.targets);
  const values = Float32Array.from(example!.weights, (_, row) => -row - 1);
  const { data } = referredTo(preference.objective, example!.targets, values);
  const { data: before } = example!.targets;
  data.forEach((value, i) => {
    expect(value).toBe(i % 5 === 3 ? -Math.floor(i / 5) - 1 : before[i]);
  });
});
