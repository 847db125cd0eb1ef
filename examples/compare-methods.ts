/**
 * Compares two methods on the same data and seed, and draws both in one report.
 * Run it with: npx tsx examples/compare-methods.ts [folder for the runs]
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { fineTune, writeReport } from "aflora";

const [output = "runs/methods"] = process.argv.slice(2);

const data = {
  train: fileURLToPath(new URL("tickets.csv", import.meta.url)),
  text: "message",
  label: "team",
  validationSplit: 0.25,
  epochs: 4,
  batchSize: 8,
  maxLength: 64,
};
const runs = [
  await fineTune(
    // Each method with a learning rate that suits it: LoRA's adapters want smaller steps.
    { ...data, method: "aflora", learningRate: 1e-2, headLearningRate: 1e-2, output: join(output, "aflora") },
    { overwrite: true },
  ),
  await fineTune(
    { ...data, method: "lora", rank: 8, learningRate: 1e-3, headLearningRate: 1e-2, output: join(output, "lora") },
    { overwrite: true },
  ),
];

console.table(
  runs.map(({ result }) => ({
    method: result!.method,
    accuracy: result!.metrics.accuracy,
    "trainable parameters, average": Math.round(result!.trainable.average),
    "seconds a step": Number(result!.secondsPerStep.toFixed(3)),
    "adapter, kB": Math.round(result!.adapterBytes / 1000),
  })),
);
const report = join(output, "comparison.html");
await writeReport(
  runs.map(({ directory }) => directory),
  report,
);
console.log(`see ${report}`);
