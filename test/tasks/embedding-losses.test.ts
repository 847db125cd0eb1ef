import { afterEach, expect, test } from "vitest";
import { float32 } from "../../src/graph/tensor.ts";
import { full } from "../../src/methods/full.ts";
import { embedding } from "../../src/tasks/kinds/embedding.ts";
import { listNet } from "../../src/tasks/kinds/reranker.ts";
import type { Objective } from "../../src/tasks/losses/objective.ts";
import type { TrainingExample } from "../../src/tasks/task-kind.ts";
import { ObjectiveGraph } from "../../src/training/objective/objective-graph.ts";
import { TrainingStep } from "../../src/training/step.ts";
import { runtime } from "../support/runtime.ts";
import { layersOf, openFixture, readJson, relativeError, smallBert } from "../support/small-bert.ts";

interface Row {
  texts: number[][];
  label?: number;
}
interface Case {
  batch: string;
  loss: string;
  settings: Record<string, unknown>;
  value: number;
}

const { batches, cases }: { batches: Record<string, Row[]>; cases: Record<string, Case> } =
  readJson("embeddings/losses.json");
const stored = await openFixture("embeddings/losses.safetensors");

const released: { release(): Promise<void> }[] = [];
afterEach(async () => {
  for (const each of released.splice(0)) await each.release();
});

function trainingExample({ texts, label }: Row, index: number): TrainingExample {
  const encode = (ids: number[]) => ({ inputIds: Int32Array.from(ids), tokenTypeIds: new Int32Array(ids.length) });
  const [encoding, ...others] = texts.map(encode);
  const example = {
    index,
    text: "anchor",
    texts: others.map((_, i) => `text ${i}`),
    ...(label !== undefined && { label }),
  };
  const encoded = { index, encoding: encoding!, texts: others.map((each) => ({ encoding: each })) };
  return { ...encoded, ...embedding.targets(example, encoded, []) };
}

test.each(Object.entries(cases))("%s: loss and gradients match sentence-transformers", async (name, each) => {
  const examples = batches[each.batch]!.map(trainingExample);
  const objective = embedding.objectiveFor!({ loss: each.loss, ...each.settings });
  const base = { ...(await smallBert()), head: "pooled" as const, labelCount: 32 };
  const adaptation = full.adapt({}, layersOf(base));
  const model = { ...base, adaptation, trainsHead: () => true };
  // Micro-batches of one or two texts.
  const settings = { objective, tokenBudget: 20, dropout: false, seed: 1 };
  const step = await TrainingStep.compile(model, base.weights, runtime, settings);
  released.push(step);
  const { loss, gradients } = await step.run(0, examples);
  expect(Math.abs(loss / each.value - 1)).toBeLessThan(1e-4);
  const names = [...stored.tensors.keys()].filter((key) => key.startsWith(`${name}.`));
  expect(names).toHaveLength(3);
  for (const key of names) {
    const weight = key.slice(name.length + 1);
    expect(relativeError(gradients.get(weight)!, await stored.read(key)), weight).toBeLessThan(1e-3);
  }
});

test.each(["triplet", "contrastive"])("the default margin of %s is 0.5, as in sentence-transformers", async (loss) => {
  const examples = batches[cases[loss]!.batch]!.map(trainingExample);
  const base = { ...(await smallBert()), head: "pooled" as const, labelCount: 32 };
  const model = { ...base, adaptation: full.adapt({}, layersOf(base)), trainsHead: () => true };
  const lossWith = async (settings: { margin?: number }): Promise<number> => {
    const objective = embedding.objectiveFor!({ loss, ...settings });
    const step = await TrainingStep.compile(model, base.weights, runtime, {
      objective,
      tokenBudget: 512,
      dropout: false,
      seed: 1,
    });
    released.push(step);
    return (await step.run(0, examples)).loss;
  };
  const given = await lossWith({ margin: 0.5 });
  expect(await lossWith({})).toBe(given);
  expect(await lossWith({ margin: 0.4 })).not.toBe(given);
});

const { graded, lists } = readJson("embeddings/reranker.json") as {
  graded: { logits: number[]; labels: number[]; value: number; gradients: number[] };
  lists: { sizes: number[]; logits: number[]; value: number; gradients: number[] };
};
const nothing = { inputIds: new Int32Array(), tokenTypeIds: new Int32Array() };

async function objectiveOf(objective: Objective, examples: TrainingExample[], logits: number[]) {
  const graph = await ObjectiveGraph.compile(objective, 1, runtime);
  released.push(graph);
  const { loss, gradients } = await graph.run(examples, [Float32Array.from(logits)]);
  return { loss, gradients: [...gradients[0]!] };
}

test("a reranker's losses and gradients match sentence-transformers", async () => {
  const { reranker } = await import("../../src/tasks/kinds/reranker.ts");
  const target = (example: { label?: number; texts?: string[] }, index: number): TrainingExample => {
    const encoded = { index, encoding: nothing };
    return { ...encoded, ...reranker.targets({ index, text: "", ...example }, encoded, []) };
  };
  const cases = [
    [reranker.objective, graded.labels.map((label, i) => target({ label }, i)), graded],
    [listNet, lists.sizes.map((size, i) => target({ texts: Array(size - 1).fill("") }, i)), lists],
  ] as const;
  for (const [objective, examples, expected] of cases) {
    const { loss, gradients } = await objectiveOf(objective, [...examples], expected.logits);
    expect(Math.abs(loss / expected.value - 1)).toBeLessThan(1e-4);
    const found = float32([gradients.length], Float32Array.from(gradients));
    expect(relativeError(found, float32([gradients.length], Float32Array.from(expected.gradients)))).toBeLessThan(1e-3);
  }
});

test("256 examples in micro-batches of 512 tokens have the gradients of the uncut batch, with dropout", async () => {
  const ids = (seed: number) => [
    2,
    ...Array.from({ length: 3 + (seed % 12) }, (_, i) => 10 + ((seed * 31 + i * 7) % 110)),
    3,
  ];
  const batch = Array.from({ length: 256 }, (_, i) => trainingExample({ texts: [ids(2 * i), ids(2 * i + 1)] }, i));
  const base = { ...(await smallBert()), head: "pooled" as const, labelCount: 32 };
  const model = { ...base, adaptation: full.adapt({}, layersOf(base)), trainsHead: () => true };
  const objective = embedding.objectiveFor!({ loss: "multiple-negatives-ranking" });
  const run = async (tokenBudget: number) => {
    const step = await TrainingStep.compile(model, base.weights, runtime, {
      objective,
      tokenBudget,
      dropout: true,
      seed: 3,
    });
    released.push(step);
    return step.run(2, batch);
  };
  const [whole, cut] = [await run(1e6), await run(512)];
  expect(whole.tokens).toBeGreaterThan(5000);
  expect(cut.loss).toBeCloseTo(whole.loss, 4);
  for (const [name, gradient] of whole.gradients) {
    // A key's bias shifts all scores of a query equally, so its gradient is a rounding error.
    if (!name.endsWith("key.bias")) expect(relativeError(cut.gradients.get(name)!, gradient), name).toBeLessThan(1e-4);
  }
});

test("each text of an example has its own dropout masks", async () => {
  const texts = [
    [2, 20, 30, 40, 3],
    [2, 20, 30, 40, 3],
  ];
  const base = { ...(await smallBert()), head: "pooled" as const, labelCount: 32 };
  const model = { ...base, adaptation: full.adapt({}, layersOf(base)), trainsHead: () => true };
  const objective = embedding.objectiveFor!({ loss: "contrastive", margin: 0.5 });
  const run = async (dropout: boolean) => {
    const step = await TrainingStep.compile(model, base.weights, runtime, {
      objective,
      tokenBudget: 64,
      dropout,
      seed: 3,
    });
    released.push(step);
    return (await step.run(0, [trainingExample({ texts, label: 1 }, 0)])).loss;
  };
  expect(await run(false)).toBeLessThan(1e-6);
  expect(await run(true)).toBeGreaterThan(1e-4);
});

const [width, classes] = [3, [0, 1, 0, 2, 1, 0]];
/** Mean over the other texts of a text's class, or over those of other classes; 0 if there are none. */
const meanOf = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);

test.each([
  {
    // Khosla et al. 2020, eq. 2, at a temperature of 1/20; a text that is alone in its class adds nothing to the mean.
    loss: "supervised-contrastive",
    of(same: readonly number[], others: readonly number[]) {
      const total = Math.log([...same, ...others].reduce((sum, cosine) => sum + Math.exp(20 * cosine), 0));
      return meanOf(same.map((cosine) => total - 20 * cosine));
    },
  },
  {
    // sentence-transformers' CosineSimilarityLoss over all pairs of a text; pairs of its class count as much as the others.
    loss: "cosine-similarity",
    of: (same: readonly number[], others: readonly number[]) =>
      (meanOf(same.map((cosine) => (cosine - 1) ** 2)) + meanOf(others.map((cosine) => cosine ** 2))) / 2,
  },
])("texts with a class: $loss and its gradients are those of its equation", async ({ loss, of }) => {
  const vectors = classes.map((_, i) => Array.from({ length: width }, (_, j) => Math.sin(3 * i + 2 * j + 1)));
  const lossOf = (all: readonly number[][]): number => {
    const unit = all.map((vector) => vector.map((value) => value / Math.hypot(...vector)));
    const cosine = (i: number, j: number): number => unit[i]!.reduce((sum, value, k) => sum + value * unit[j]![k]!, 0);
    return meanOf(
      classes.map((label, i) => {
        const rest = [...classes.keys()].filter((j) => j !== i);
        const [same, others] = [true, false].map((isSame) => rest.filter((j) => (classes[j] === label) === isSame));
        return of(
          same!.map((j) => cosine(i, j)),
          others!.map((j) => cosine(i, j)),
        );
      }),
    );
  };
  const objective = embedding.objectiveFor!({ loss });
  const graph = await ObjectiveGraph.compile(objective, width, runtime);
  released.push(graph);
  const examples = classes.map((label, index) => {
    const encoded = { index, encoding: nothing };
    return { ...encoded, ...embedding.targets({ index, text: "", label }, encoded, []) };
  });
  const found = await graph.run(
    examples,
    vectors.map((vector) => Float32Array.from(vector)),
  );
  expect(found.loss).toBeCloseTo(lossOf(vectors), 4);
  const step = 1e-4;
  const expected = vectors.map((vector, i) =>
    vector.map((_, j) => {
      const moved = (by: number) =>
        vectors.map((each, k) => each.map((value, l) => (k === i && l === j ? value + by : value)));
      return (lossOf(moved(step)) - lossOf(moved(-step))) / (2 * step);
    }),
  );
  for (const [i, gradient] of found.gradients.entries()) {
    for (const [j, value] of gradient.entries()) expect(value).toBeCloseTo(expected[i]![j]!, 3);
  }
});
