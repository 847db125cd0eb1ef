import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { openSafetensorsFile } from "../../src/checkpoints/safetensors-node.ts";
import type { Tensors } from "../../src/graph/tensor.ts";
import { head } from "../../src/methods/head.ts";
import { describeModel } from "../../src/models/families.ts";
import { readModelWeights } from "../../src/models/model-weights.ts";
import { traceModel } from "../../src/models/trace.ts";
import { nodeRuntime } from "../../src/runtime/runtime-node.ts";
import type { Example } from "../../src/tasks/example.ts";
import type { WordEncoding } from "../../src/tokenization/tokenizer.ts";
import { rowLoss } from "../../src/training/objective.ts";
import { Predictor } from "../../src/training/predictor.ts";
import { TrainingStep } from "../../src/training/step.ts";
import type { AdaptedModel } from "../../src/training/step-graph.ts";
import { firstTokens, predictionFor, type TrainingExample } from "../../src/training/training-example.ts";

const folder = new URL("../fixtures/models/bert-1/", import.meta.url);
const runtime = nodeRuntime({ threads: 1 });
const SETTINGS = { objective: "cross-entropy", dropout: false, seed: 1, padTokenId: 0 } as const;
const LABELS = 3;

/** A sentence of `words` words of one to three tokens each. */
function sentence(index: number, words: number): { encoding: WordEncoding; example: TrainingExample; first: number[] } {
  const wordIds = Array.from({ length: words }, (_, word) => new Array<number>(1 + ((index + word) % 3)).fill(word));
  const flat = [-1, ...wordIds.flat(), -1];
  const encoding = {
    inputIds: Int32Array.from(flat, (word, i) => (word < 0 ? 2 : 5 + ((index * 31 + i * 17) % 110))),
    tokenTypeIds: new Int32Array(flat.length),
    wordIds: Int32Array.from(flat),
  };
  const first = [...firstTokens(encoding)].map(([, token]) => token);
  const targets = new Float32Array(flat.length * LABELS);
  const weights = new Float32Array(flat.length);
  first.forEach((token, word) => {
    targets[token * LABELS + ((index + word) % LABELS)] = 1;
    weights[token] = 1 + (word % 2);
  });
  return { encoding, example: { index, encoding, targets, weights }, first };
}

describe("rows of a token head", () => {
  let model: AdaptedModel;
  let weights: Tensors<"float32">;
  const sentences = [3, 6, 1, 4, 2].map((words, index) => sentence(index, words));
  beforeAll(async () => {
    const description = describeModel(JSON.parse(readFileSync(new URL("config.json", folder), "utf8")));
    const trace = traceModel(description, LABELS, "token");
    const source = await openSafetensorsFile(new URL("model.safetensors", folder).pathname);
    ({ weights } = await readModelWeights(source, description, trace));
    const method = head.create({}, { sites: trace.sites, totalSteps: 1, stepsPerEpoch: 1 });
    model = { ...description, method, labelCount: LABELS, head: "token", trainsHead: () => true };
  });

  test("logits come by example, whatever it was computed beside", async () => {
    const predictor = await Predictor.compile(model, weights, runtime, 0);
    const encodings = sentences.map(({ encoding }) => encoding);
    const together = await predictor.logits(encodings);
    for (const [i, encoding] of encodings.entries()) {
      const [alone] = await predictor.logits([encoding]);
      expect(together[i]).toHaveLength(encoding.inputIds.length * LABELS);
      together[i]!.forEach((logit, at) => {
        expect(logit).toBeCloseTo(alone![at]!, 5);
      });
    }
    await predictor.release();
  });

  test("the loss is the weighted mean over words, and micro-batches change neither it nor the gradients", async () => {
    const run = async (tokenBudget: number) => {
      const step = await TrainingStep.compile(model, weights, runtime, { ...SETTINGS, tokenBudget });
      const outcome = await step.run(
        0,
        sentences.map(({ example }) => example),
      );
      await step.release();
      return outcome;
    };
    const [whole, cut] = [await run(1000), await run(20)];

    const predictor = await Predictor.compile(model, weights, runtime, 0);
    const logits = await predictor.logits(sentences.map(({ encoding }) => encoding));
    await predictor.release();
    let loss = 0;
    let total = 0;
    sentences.forEach(({ first, example }, i) => {
      for (const token of first) {
        const row = (all: Float32Array) => all.subarray(token * LABELS, (token + 1) * LABELS);
        loss += example.weights[token]! * rowLoss("cross-entropy", row(logits[i]!), row(example.targets));
        total += example.weights[token]!;
      }
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

  test("a word is what its first token says; a word that was not read is outside", () => {
    const encoding = {
      inputIds: new Int32Array(5),
      tokenTypeIds: new Int32Array(5),
      wordIds: Int32Array.of(-1, 0, 0, 2, -1),
    };
    const example: Example = { index: 0, text: "a b c d", words: ["a", "b", "c", "d"] };
    const logits = new Float32Array(15);
    // The first token of word 0, its second, and the one of word 2.
    logits[1 * 3 + 1] = logits[2 * 3 + 2] = logits[3 * 3 + 0] = 1;
    const task = { kind: "token-classification", labels: ["B-X", "I-X", "O"] } as const;
    expect(predictionFor({ ...task, labels: [...task.labels] }, example, encoding, logits)).toEqual({
      labels: [1, 2, 0, 2],
    });
  });
});
