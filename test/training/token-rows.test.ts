import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { describeModel } from "../../src/architectures/families.ts";
import { readModelWeights } from "../../src/architectures/model-weights.ts";
import { traceModel } from "../../src/architectures/trace.ts";
import { openSafetensorsFile } from "../../src/checkpoints/safetensors-node.ts";
import { float32, type Tensors } from "../../src/graph/tensor.ts";
import type { WordEncoding } from "../../src/inputs/tokenizer.ts";
import { head } from "../../src/methods/head.ts";
import { crossEntropy } from "../../src/tasks/losses/objective.ts";
import type { TrainingExample } from "../../src/tasks/task-kind.ts";
import { Predictor } from "../../src/training/prediction/predictor.ts";
import { TrainingStep } from "../../src/training/step.ts";
import type { AdaptedModel } from "../../src/training/step-graph.ts";
import { runtime } from "../support/runtime.ts";
import { rowLosses } from "./row-loss.ts";

const folder = new URL("../fixtures/models/bert-1/", import.meta.url);
const SETTINGS = { objective: crossEntropy, dropout: false, seed: 1 } as const;
const LABELS = 3;

/** A sentence of `words` words of one to three tokens each. */
function sentence(index: number, words: number): TrainingExample {
  const wordIds = Array.from({ length: words }, (_, word) => new Array<number>(1 + ((index + word) % 3)).fill(word));
  const flat = [-1, ...wordIds.flat(), -1];
  const encoding: WordEncoding = {
    inputIds: Int32Array.from(flat, (word, i) => (word < 0 ? 2 : 5 + ((index * 31 + i * 17) % 110))),
    tokenTypeIds: new Int32Array(flat.length),
    wordIds: Int32Array.from(flat),
  };
  const rows = Int32Array.from({ length: words }, (_, word) => flat.indexOf(word));
  const targets = float32([words, LABELS]);
  for (let word = 0; word < words; word++) targets.data[word * LABELS + ((index + word) % LABELS)] = 1;
  return { index, encoding, rows, targets, weights: Float32Array.from(rows, (_, word) => 1 + (word % 2)) };
}

describe("rows of a token head", () => {
  let model: AdaptedModel;
  let weights: Tensors<"float32">;
  const sentences = [3, 6, 1, 4, 2].map((words, index) => sentence(index, words));
  beforeAll(async () => {
    const description = describeModel(JSON.parse(readFileSync(new URL("config.json", folder), "utf8")));
    const trace = traceModel(description, LABELS, "token");
    const source = await openSafetensorsFile(fileURLToPath(new URL("model.safetensors", folder)));
    ({ weights } = await readModelWeights(source, description, trace));
    model = {
      ...description,
      adaptation: head.adapt({}, []),
      labelCount: LABELS,
      head: "token",
      trainsHead: () => true,
    };
  });

  test("logits are returned by example, independent of other examples", async () => {
    const predictor = await Predictor.compile(model, weights, runtime);
    const together = await predictor.logits(sentences);
    for (const [i, each] of sentences.entries()) {
      const [alone] = await predictor.logits([each]);
      expect(together[i]).toHaveLength(each.rows!.length * LABELS);
      together[i]!.forEach((logit, at) => {
        expect(logit).toBeCloseTo(alone![at]!, 5);
      });
    }
    await predictor.release();
  });

  test("the loss is the weighted mean over words; micro-batches do not change it or the gradients", async () => {
    const run = async (tokenBudget: number) => {
      const step = await TrainingStep.compile(model, weights, runtime, { ...SETTINGS, tokenBudget });
      const outcome = await step.run(0, sentences);
      await step.release();
      return outcome;
    };
    const [whole, cut] = [await run(1000), await run(20)];

    const predictor = await Predictor.compile(model, weights, runtime);
    const logits = await predictor.logits(sentences);
    await predictor.release();
    let loss = 0;
    let total = 0;
    sentences.forEach(({ targets, weights }, i) => {
      weights.forEach((weight, word) => {
        const row = (all: Float32Array) => all.subarray(word * LABELS, (word + 1) * LABELS);
        loss += weight * rowLosses.get(crossEntropy)!(row(logits[i]!), row(targets.data as Float32Array));
        total += weight;
      });
    });
    expect(whole.loss).toBeCloseTo(loss / total, 5);
    expect(cut.loss).toBeCloseTo(whole.loss, 5);
    expect([...cut.gradients.keys()].sort()).toEqual(["classifier.bias", "classifier.weight"]);
    for (const [name, gradient] of whole.gradients) {
      gradient.data.forEach((value, i) => {
        expect(cut.gradients.get(name)!.data[i]).toBeCloseTo(value, 5);
      });
    }
  });
});
