/**
 * A training step on texts of real lengths: batches of CoLA and SST-2 through an AFLoRA step of the bundled encoder's size,
 * dropout on, in turn, beside the same number of tokens in texts of one length (64), where attention pads nothing.
 *
 *     npm run bench:lengths -- GLUE_FOLDER
 */
import { fileURLToPath } from "node:url";
import { loadBaseModel } from "../src/base-models/load-base-model-node.ts";
import { loadGlueTask } from "../src/datasets/glue-node.ts";
import { aflora } from "../src/methods/aflora.ts";
import { nodeRuntime } from "../src/runtime/runtime-node.ts";
import { crossEntropy } from "../src/tasks/losses/objective.ts";
import type { TrainingExample } from "../src/tasks/task-kind.ts";
import { cutMicroBatches, exampleSize } from "../src/training/batches/micro-batches.ts";
import { TrainingStep } from "../src/training/step.ts";
import { adapted, batchOf, median, randomModel } from "./random-model.ts";

const ROUNDS = 24;
const WARM_UP = 2;
const BUDGET = 512;
const EVEN = 64;

interface Variant {
  name: string;
  batches: TrainingExample[][];
  seconds: number[];
  tokensPerSecond: number[];
}

const data = process.argv[2] ?? fileURLToPath(new URL("../../shared/data/glue", import.meta.url));
const { tokenizer } = await loadBaseModel("all-MiniLM-L6-v2", undefined, 0);
const model = adapted(randomModel("all-MiniLM-L6-v2"), aflora);
const runtime = nodeRuntime();
const step = await TrainingStep.compile(model, model.weights, runtime, {
  objective: crossEntropy,
  tokenBudget: BUDGET,
  dropout: true,
  seed: 1,
});

const variants: Variant[] = [];
for (const task of ["cola", "sst2"]) {
  const { train } = await loadGlueTask(task, data);
  const lengths = train.map(({ text }) => tokenizer.encode(text, undefined, 256).inputIds.length);
  for (const size of [32, 64]) {
    const batches = Array.from({ length: 12 }, (_, i) => lengths.slice(7 * i * size, (7 * i + 1) * size));
    variants.push({
      name: `${task}, batch ${size}`,
      batches: batches.map(examplesOf),
      seconds: [],
      tokensPerSecond: [],
    });
  }
}
const even = Array.from({ length: 8 }, () => EVEN);
variants.push({ name: `8 × ${EVEN} tokens`, batches: [examplesOf(even)], seconds: [], tokensPerSecond: [] });

for (let round = 0; round < ROUNDS; round++) {
  for (const { batches, seconds, tokensPerSecond } of variants) {
    const start = performance.now();
    const { tokens } = await step.run(round, batches[round % batches.length]!);
    const took = (performance.now() - start) / 1000;
    if (round < WARM_UP) continue;
    seconds.push(took);
    tokensPerSecond.push(tokens / took);
  }
}
await step.release();

console.log(`all-MiniLM-L6-v2's size, ${runtime.threads} threads, medians of ${ROUNDS - WARM_UP} rounds\n`);
for (const { name, batches, seconds, tokensPerSecond } of variants) {
  const runs = batches.map(
    (batch) => cutMicroBatches(batch.map(exampleSize), { tokens: BUDGET, outputs: 2, padsRows: false }).length,
  );
  const tokens = batches.map((batch) => batch.reduce((sum, example) => sum + lengthOf(example), 0));
  console.log(
    `${name.padEnd(16)}${mean(tokens).toFixed(0).padStart(5)} tokens in ${mean(runs).toFixed(1)} runs: ` +
      `${(median(seconds) * 1000).toFixed(0)} ms a step, ${median(tokensPerSecond).toFixed(0)} tokens/s`,
  );
}

function examplesOf(lengths: readonly number[]): TrainingExample[] {
  return lengths.map((length, index) => ({ ...batchOf(1, length)[0]!, index }));
}

function lengthOf({ encoding }: TrainingExample): number {
  return encoding.inputIds.length;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
