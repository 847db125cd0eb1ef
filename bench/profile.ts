/**
 * Where a training step's time goes, by ONNX Runtime's profile: microseconds of each kernel, by the part of the step and the
 * op of the graph that it belongs to. Dropout on, one micro-batch.
 *
 *     npm run bench:profile -- [MODEL [BASE [METHOD [ROWSxLENGTH [THREADS]]]]]
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import type { Tensor } from "../src/graph/tensor.ts";
import { float32 } from "../src/graph/tensor.ts";
import { findMethod } from "../src/methods/methods.ts";
import type { BaseFormat } from "../src/models/base-format.ts";
import { nodeRuntime } from "../src/runtime/runtime-node.ts";
import { DropoutMasks } from "../src/training/dropout-masks.ts";
import { layOut } from "../src/training/model-inputs.ts";
import { objectiveInputs, totalWeight } from "../src/training/objective-inputs.ts";
import { writeStep } from "../src/training/step-graph.ts";
import { adapted, type ConfigName, randomModel, taskOf } from "./random-model.ts";

const ROUNDS = 12;
const WARM_UP = 2;

const [
  name = "all-MiniLM-L6-v2",
  format = "float32",
  method = "aflora",
  size = "8x64",
  threads = String(availableParallelism()),
] = process.argv.slice(2) as [ConfigName?, BaseFormat?, string?, string?, string?];
const [rows, length] = size.split("x").map(Number) as [number, number];

const random = randomModel(name, format);
const model = { ...adapted(random, findMethod(method)), format };
const { objective, batchOf } = taskOf(model);
const weights = new Map<string, Tensor>([...model.weights, ...random.quantized]);
const step = writeStep(model, objective, { dropout: true });
const folder = mkdtempSync(join(tmpdir(), "aflora-profile-"));
const runtime = nodeRuntime({ threads: Number(threads) });
const compiled = await runtime.compile(step.outputs, weights, join(folder, "profile"));
const examples = batchOf(rows, length);
const masks = new DropoutMasks(step.dropouts, 1);
const batch = layOut(step.streams, examples);
const inputs = {
  ...batch.inputs,
  ...masks.draw(0, batch),
  ...objectiveInputs(objective, model.labelCount, examples, totalWeight(examples)),
};
for (let round = 0; round < ROUNDS; round++) await compiled.run({ ...inputs, penaltyWeight: float32([]) });
compiled.endProfiling();
await compiled.release();

interface Event {
  cat: string;
  name: string;
  dur: number;
  ts: number;
  args?: { op_name?: string };
}
const [file] = readdirSync(folder);
const events = JSON.parse(readFileSync(join(folder, file!), "utf8")) as Event[];
rmSync(folder, { recursive: true });
const runs = events.filter(({ name }) => name === "model_run").sort((a, b) => a.ts - b.ts);
const measured = runs.slice(WARM_UP);
// A kernel's fastest run is what it takes where nothing else wants the processor.
const fastest = new Map<string, { microseconds: number; key: string }>();
for (const { cat, name, dur, ts, args } of events) {
  if (cat !== "Node" || !name.endsWith("_kernel_time") || ts < measured[0]!.ts) continue;
  const origin = name.slice(0, name.lastIndexOf("/")).replaceAll("/", " ");
  const known = fastest.get(name);
  const key = `${origin.padEnd(34)} ${args!.op_name}`;
  fastest.set(name, { key, microseconds: Math.min(dur, known?.microseconds ?? dur) });
}
const totals = new Map<string, { microseconds: number; count: number }>();
for (const { key, microseconds } of fastest.values()) {
  const total = totals.get(key) ?? { microseconds: 0, count: 0 };
  totals.set(key, { microseconds: total.microseconds + microseconds, count: total.count + 1 });
}
const milliseconds = (microseconds: number): string => (microseconds / 1000).toFixed(2);
const all = [...totals.values()].reduce((sum, { microseconds }) => sum + microseconds, 0);
const lines = [...totals].sort(([, a], [, b]) => b.microseconds - a.microseconds);
console.log(
  [
    `${name}, --base ${format}, ${method}, ${size} tokens, ${threads} threads: ${milliseconds(all)} ms in ${fastest.size} kernels, each the fastest of ${measured.length} runs;`,
    `a whole run at best ${milliseconds(Math.min(...measured.map(({ dur }) => dur)))} ms`,
    ...lines.map(
      ([key, { microseconds, count }]) =>
        `${milliseconds(microseconds).padStart(9)} ms ${((100 * microseconds) / all).toFixed(1).padStart(5)} % ${String(count).padStart(4)} × ${key}`,
    ),
  ].join("\n"),
);
