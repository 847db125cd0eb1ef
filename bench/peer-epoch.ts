/**
 * One epoch of a task with `aflora train`'s own code, from the data's files to the result; prints seconds, metric and the
 * process's peak memory in bytes, as oracle/epoch_speed.py does. bench/peer-epochs.ts starts it.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BASE_FORMATS } from "../src/architectures/base-format.ts";
import { fineTune } from "../src/fine-tune.ts";
import { oneOf } from "./arguments.ts";

const [data = "", task = "", threads, base = "float32"] = process.argv.slice(2);
const folder = await mkdtemp(join(tmpdir(), "aflora-epoch-"));
const start = performance.now();
const { result } = await fineTune({
  ...{
    method: "aflora",
    ...(task === "agnews" ? { train: join(data, "train.csv"), validation: join(data, "test.csv") } : { task, data }),
    base: oneOf("base", base, BASE_FORMATS),
    threads: Number(threads),
    output: join(folder, "run"),
    seed: 1,
  },
  ...{ epochs: 1, batchSize: 32, learningRate: 0.015, headLearningRate: 0.015, weightDecay: 0, maxGradNorm: 1 },
});
const seconds = (performance.now() - start) / 1000;
await rm(folder, { recursive: true });
const metrics = result!.float32Metrics ?? result!.metrics;
console.log(seconds, Object.values(metrics)[0], process.resourceUsage().maxRSS * 1024);
