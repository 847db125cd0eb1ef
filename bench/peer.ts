/**
 * Our training step beside PyTorch's on the same shapes, timed in turn: AFLoRA of rank 4, dropout on, random weights.
 *
 *     npm run bench:peer -- PYTHON
 *
 * PYTHON is an interpreter with oracle/requirements.txt installed.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { aflora } from "../src/methods/aflora.ts";
import { nodeRuntime } from "../src/runtime/runtime-node.ts";
import { crossEntropy } from "../src/tasks/objective.ts";
import { TrainingStep } from "../src/training/step.ts";
import { adapted, batchOf, CONFIGS, type ConfigName, median, randomModel } from "./random-model.ts";

const ROUNDS = 9;
const WARM_UP = 2;
const runtime = nodeRuntime();

async function compare(python: string, name: ConfigName, rows: number, length: number): Promise<void> {
  const script = fileURLToPath(new URL("../oracle/step_speed.py", import.meta.url));
  const settings = [JSON.stringify(CONFIGS[name]), rows, length, runtime.threads].map(String);
  const peer = spawn(python, [script, ...settings], { stdio: ["pipe", "pipe", "inherit"] });
  const answers = createInterface({ input: peer.stdout })[Symbol.asyncIterator]();
  const model = adapted(randomModel(name), aflora);
  const step = await TrainingStep.compile(model, model.weights, runtime, {
    objective: crossEntropy,
    tokenBudget: rows * length,
    dropout: true,
    seed: 1,
  });
  const batch = batchOf(rows, length);
  const rounds: { ours: number; theirs: number }[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    peer.stdin.write("step\n");
    const { value, done } = await answers.next();
    if (done) throw new Error(`${python} ended; it needs oracle/requirements.txt`);
    const start = performance.now();
    await step.run(round, batch);
    if (round >= WARM_UP) rounds.push({ theirs: Number(value) * 1000, ours: performance.now() - start });
  }
  peer.stdin.end();
  await step.release();
  console.log(
    `${name}, ${rows} x ${length} tokens: aflora ${median(rounds.map(({ ours }) => ours)).toFixed(0)} ms, ` +
      `PyTorch ${median(rounds.map(({ theirs }) => theirs)).toFixed(0)} ms, ` +
      `PyTorch's over ours ${median(rounds.map(({ ours, theirs }) => theirs / ours)).toFixed(2)} ` +
      `(${runtime.threads} threads, medians of ${rounds.length} rounds)`,
  );
}

const python = process.argv[2] ?? "python3";
for (const name of ["all-MiniLM-L6-v2", "bert-base"] as const) {
  for (const [rows, length] of [
    [16, 32],
    [8, 64],
  ] as const) {
    await compare(python, name, rows, length);
  }
}
