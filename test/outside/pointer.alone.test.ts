import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { registerTaskKind } from "../../src/extend.ts";
import { evaluateRun, exportRun, fineTune, loadFineTunedModel, readRunRecords } from "../../src/index.ts";
import { runtime } from "../support/runtime.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";
import { pointer } from "./pointer.ts";

const NOUNS = ["card", "invoice", "money", "bill", "app", "crash", "button", "screen", "order", "parcel"];

let home: string;
let run: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-pointer-"));
  registerTaskKind(pointer);
  const rows = tickets(4).map(({ message }) => {
    return { message, noun: message.split(" ").find((word, i) => i > 0 && NOUNS.includes(word))! };
  });
  run = join(home, "run");
  await fineTune({
    model: await writeTinyModel(join(home, "model")),
    train: await writeCsv(join(home, "tickets.csv"), rows),
    text: "message",
    label: "noun",
    kind: "pointer",
    validationSplit: 0.25,
    method: "lora",
    rank: 4,
    learningRate: 0.02,
    headLearningRate: 0.02,
    epochs: 10,
    batchSize: 15,
    // Two micro-batches or more a step.
    tokenBudget: 60,
    threads: 1,
    output: run,
  });
});
afterAll(() => rm(home, { recursive: true }));

test("a kind with a head of its own trains, is evaluated and predicts", async () => {
  const { evaluations, result } = await readRunRecords(run);
  expect(evaluations[0]!.metrics.right_words).toBeLessThan(0.9);
  expect(result!.metrics.right_words).toBeGreaterThan(0.9);
  const [evaluation] = await evaluateRun(run, { threads: 1 });
  expect(evaluation!.metrics).toEqual(result!.metrics);
  const tuned = await loadFineTunedModel(run, runtime);
  const [picked] = await tuned.ofKind("pointer").predict(["please refund my money again"]);
  await tuned.release();
  expect(picked!.word).toBe("money");
  expect(picked!.probability).toBeGreaterThan(0.5);
});

test("its exports compute the same", async () => {
  for (const format of ["merged", "onnx"] as const) {
    const { largestDifference } = await exportRun(run, { format, output: join(home, format) }, { threads: 1 });
    expect(largestDifference).toBeLessThan(1e-5);
  }
});
