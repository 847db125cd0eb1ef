import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { registerArchitecture, registerTaskKind, type TaskPredictions } from "../../src/extend.ts";
import {
  evaluateRun,
  exportRun,
  type FineTuneConfig,
  fineTune,
  loadFineTunedModel,
  readRunRecords,
  UserError,
} from "../../src/index.ts";
import { runtime } from "../support/runtime.ts";
import { tickets, writeCsv } from "../support/tiny-model.ts";
import { writeRandomModel } from "./random-model.ts";
import { type RankedText, ranking } from "./ranking.ts";
import { relay } from "./relay.ts";

declare module "../../src/extend.ts" {
  interface TaskPredictions {
    "answer-ranking": RankedText;
  }
}

const CONFIG = {
  model_type: "relay",
  d_model: 12,
  ffn_dim: 16,
  layers: 2,
  attention_heads: 4,
  key_value_heads: 2,
  head_dim: 4,
  attention_dropout: 0.1,
  max_position_embeddings: 24,
};

let home: string;
const configOf = (kind: keyof TaskPredictions, output: string): FineTuneConfig => ({
  model: join(home, "model"),
  train: join(home, "answers.csv"),
  text: "message",
  textPair: "answer",
  label: "fits",
  kind,
  method: "lora",
  rank: 2,
  learningRate: 0.05,
  headLearningRate: 0.05,
  maxGradNorm: 1,
  epochs: 6,
  batchSize: 15,
  threads: 1,
  output: join(home, output),
});

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-two-texts-"));
  registerArchitecture(relay);
  registerTaskKind({
    ...ranking,
    name: "answer-ranking",
    encode: ({ index, text, textPair = "" }, tokenizer, maxLength) => ({
      index,
      encoding: tokenizer.encode(text, undefined, maxLength),
      decoder: tokenizer.encode(textPair, undefined, maxLength),
    }),
  });
  await writeRandomModel(join(home, "model"), CONFIG);
  const answers = ["refund money", "please help again", "late"];
  const rows = tickets(4).map(({ message }, i) => ({ message, answer: answers[i % 3]!, fits: i % 3 }));
  await writeCsv(join(home, "answers.csv"), rows);
});
afterAll(() => rm(home, { recursive: true }));

test("an encoder-decoder trains, evaluates, predicts and is merged; what it cannot yet is refused with a sentence", async () => {
  const { directory, result } = await fineTune(configOf("answer-ranking", "run"));
  expect((await readRunRecords(directory)).evaluations[0]!.metrics.ordered_pairs).toBeLessThan(0.8);
  expect(result!.metrics.ordered_pairs).toBeGreaterThan(0.95);
  const [evaluation] = await evaluateRun(directory, { threads: 1 });
  expect(evaluation!.metrics).toEqual(result!.metrics);
  const tuned = await loadFineTunedModel(directory, runtime);
  const [late, refund] = await tuned
    .ofKind("answer-ranking")
    .predict(["late", "refund money"].map((textPair) => ({ text: "my card was charged twice", textPair })));
  await tuned.release();
  expect(late!.score).toBeGreaterThan(refund!.score);

  const merged = await exportRun(directory, { format: "merged", output: join(home, "merged") }, { threads: 1 });
  expect(merged.largestDifference).toBeLessThan(1e-5);
  await expect(exportRun(directory, { format: "onnx", output: join(home, "onnx") }, { threads: 1 })).rejects.toThrow(
    new UserError(
      'an encoder-decoder that does not write texts cannot be exported as ONNX; use option "format" merged',
    ),
  );
});

test("a kind of task that gives the decoder no text is refused", async () => {
  await expect(fineTune(configOf("regression", "refused"))).rejects.toThrow(
    new UserError("an encoder-decoder needs a kind of task that gives its decoder a text; take another model or kind"),
  );
});
