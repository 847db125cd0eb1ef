import { describe, expect, test } from "vitest";
import type { Tokenizer } from "../../src/inputs/tokenizer.ts";
import { computeMetrics } from "../../src/tasks/examples.ts";
import { preference } from "../../src/tasks/kinds/preference.ts";
import { withReferenceValues } from "../../src/training/prediction/reference.ts";
import { openFixture, readJson } from "../support/small-bert.ts";
import { replaySteps } from "./recorded-steps.ts";

interface Row {
  prompt: number[];
  chosen: number[];
  rejected: number[];
}
interface Case {
  settings: { beta: number; labelSmoothing?: number; gamma?: number };
  losses: number[];
}

// Written by oracle/preferences.py with TRL.
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

/** Token ids are written as numbers, without a template or special tokens. */
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

describe.each(Object.entries(cases))("%s matches TRL", (name, { settings, losses }) => {
  test.each([
    ["an example, or a text, a run", 8],
    ["all in one run", 1000],
  ])("five steps and the gradients after them, %s", async (_, tokenBudget) => {
    const loss = name.replace("-smoothed", "");
    const objective = preference.objectiveFor!({ preferenceLoss: loss, ...settings });
    await replaySteps(objective, encodedRows(name), { name, losses, gradients, learningRate }, tokenBudget);
  });
});

test("the reference is computed only if the loss compares with it, and is written only to its column", async () => {
  const [example] = encodedRows("dpo");
  const simpo = preference.objectiveFor!({ preferenceLoss: "simpo", beta: 2 });
  expect(withReferenceValues(simpo, example!.targets, new Float32Array(3))).toEqual(example!.targets);
  const values = Float32Array.from(example!.weights, (_, row) => -row - 1);
  const { data } = withReferenceValues(preference.objective, example!.targets, values);
  const { data: before } = example!.targets;
  data.forEach((value, i) => {
    expect(value).toBe(i % 5 === 3 ? -Math.floor(i / 5) - 1 : before[i]);
  });
});

test.each([
  ["pairs", undefined, { reward_accuracy: 1, reward_margin: 2, reward_chosen: 1, reward_rejected: -1 }],
  ["judged answers", 0, { reward_margin: -1, reward_chosen: 0, reward_rejected: 1 }],
])("of %s, those of which an answer does not fit are left out of the metrics", (_, label, expected) => {
  const long = textOf(Array.from({ length: 200 }, () => 1));
  const examples = [long, "7"].map((answer, index) => ({
    ...{ index, text: "1 2", textPair: answer, texts: ["8"] },
    ...(label !== undefined && { label }),
  }));
  const predictions = examples.map((example) => {
    const encoded = preference.encode(example, numbers, 100, { preferenceLoss: "dpo", beta: 1 });
    const { targets, weights } = preference.targets(example, encoded, []);
    // The first answer is more probable than before training, the second less.
    const values = Float32Array.from(
      targets.data.slice(0, encoded.rows!.length === 0 ? 0 : 2),
      (_each, row) => 1 - 2 * row,
    );
    return preference.predict([], example, { ...encoded, targets, weights } as typeof encoded, values);
  });
  const metrics = Object.keys(expected);
  const found = computeMetrics({ kind: "preference", labels: [], metrics }, predictions, examples);
  for (const name of metrics) expect(found[name], name).toBeCloseTo(expected[name as keyof typeof expected]!, 6);
});
