/**
 * Two training steps for each line on stdin, as training runs them one after the other; answers with the seconds of the second and the
 * process's peak memory in bytes, as oracle/step_speed.py and language_model_speed.py do. bench/peer.ts and bench/language-model.ts
 * start it.
 */
import { createInterface } from "node:readline";
import type { BaseFormat } from "../src/architectures/base-format.ts";
import { findMethod } from "../src/methods/methods.ts";
import { nodeRuntime } from "../src/runtime/runtime-node.ts";
import { TrainingStep } from "../src/training/step.ts";
import { adapted, type ConfigName, randomModel, taskOf } from "./random-model.ts";

const [name, method, format] = process.argv.slice(2) as [ConfigName, string, BaseFormat];
const [rows, length, threads] = process.argv.slice(5).map(Number) as [number, number, number];
const model = adapted(randomModel(name, format), findMethod(method));
const { objective, batchOf } = taskOf(model);
const step = await TrainingStep.compile(model, model.weights, nodeRuntime({ threads }), {
  objective,
  tokenBudget: rows * length,
  dropout: true,
  seed: 1,
});
const batch = batchOf(rows, length);
let round = 0;
for await (const _ of createInterface({ input: process.stdin })) {
  await step.run(round++, batch);
  const start = performance.now();
  await step.run(round++, batch);
  const seconds = (performance.now() - start) / 1000;
  process.stdout.write(`${seconds} ${process.resourceUsage().maxRSS * 1024}\n`);
}
await step.release();
