import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { float32, registerMethod } from "../src/extend.ts";
import {
  evaluateRun,
  type FineTuneConfig,
  FreezingController,
  fineTune,
  readRunRecords,
  UserError,
} from "../src/index.ts";
import { loadFineTunedModel } from "../src/inference/load-fine-tuned-model-node.ts";
import { ia3 } from "./support/ia3.ts";
import { on } from "./support/on-event.ts";
import { runtime } from "./support/runtime.ts";
import { tickets, writeCsv, writeTinyModel } from "./support/tiny-model.ts";

let home: string;
let data: FineTuneConfig & { train: string };
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-index-"));
  const model = await writeTinyModel(join(home, "model"));
  const train = await writeCsv(join(home, "tickets.csv"), tickets());
  data = { model, train, text: "message", label: "team", headStart: "new", epochs: 2, batchSize: 8, threads: 1 };
});
afterAll(() => rm(home, { recursive: true }));

test("fine-tune, read the run, evaluate and predict", async () => {
  const steps: number[] = [];
  const { directory, result } = await fineTune(
    { ...data, validation: data.train, method: "aflora", freezeInterval: 1, output: join(home, "run") },
    { onEvent: on("step", ({ step }) => void steps.push(step)) },
  );
  expect(steps).toHaveLength(result!.steps);
  expect((await readRunRecords(directory)).steps).toHaveLength(steps.length);
  const [evaluation] = await evaluateRun(directory);
  expect(evaluation!.metrics.accuracy).toBe(result!.metrics.accuracy);
  const model = await loadFineTunedModel(directory);
  const [prediction] = await model.predict(["my card was charged twice"]);
  await model.release();
  expect(prediction!.labels!.map(({ label }) => label).sort()).toEqual(["billing", "bug", "delivery"]);
});

test("the signal ends a run, and resuming finishes it", async () => {
  const abort = new AbortController();
  const output = join(home, "resumed");
  const aborted = await fineTune(
    { ...data, output },
    { signal: abort.signal, onEvent: on("step", () => abort.abort()) },
  );
  expect(aborted.result).toBeUndefined();
  const { result } = await fineTune({ output }, { resume: true });
  expect(result!.epochs).toBe(2);
});

test("a method of the caller's own trains and is read back", async () => {
  registerMethod(ia3);
  expect(() => registerMethod(ia3)).toThrow(
    new UserError('method "ia3" already exists; give the new one another name'),
  );
  const output = join(home, "ia3");
  await fineTune({ ...data, output, method: "ia3", targetModules: ["key"] } as unknown as FineTuneConfig);
  const model = await loadFineTunedModel(output, runtime);
  expect(model.description.methodOptions).toEqual({ targetModules: ["key"] });
  await model.release();
});

test("the freezing controller stands alone", () => {
  const controller = new FreezingController({
    matrices: [
      { name: "down", size: 2 },
      { name: "up", size: 2 },
    ],
    beta1: 0.85,
    beta2: 0.95,
    interval: 1,
    totalSteps: 10,
    initialSteps: 1,
    finalSteps: 7,
    rule: "matrix-fraction",
    score: "gradient",
    windowed: false,
  });
  const gradients = new Map([
    ["down", float32([2], Float32Array.of(3, 4))],
    ["up", float32([2], Float32Array.of(0.1, 0.2))],
  ]);
  const frozen = Array.from({ length: 5 }, (_, step) => controller.observe(step, gradients));
  expect(frozen).toEqual([[], [], ["up"], ["down"], []]);
});
