/**
 * Routes support tickets to teams: fine-tunes the bundled encoder on a CSV file, labels new messages, and writes the
 * model as a folder that Transformers.js loads.
 * Run it with: npx tsx examples/route-tickets.ts [folder for the run]
 */
import { rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { exportRun, fineTune, loadFineTunedModel } from "aflora";

const [output = "runs/tickets"] = process.argv.slice(2);

const { directory, result } = await fineTune(
  {
    train: fileURLToPath(new URL("tickets.csv", import.meta.url)),
    text: "message",
    label: "team",
    method: "aflora",
    // A quarter of the few rows, so that the accuracy says something.
    validationSplit: 0.25,
    // Few and small steps: every row is seen six times, eight at a time.
    epochs: 6,
    batchSize: 8,
    maxLength: 64,
    learningRate: 1e-2,
    headLearningRate: 1e-2,
    freezeInterval: 5,
    output,
  },
  {
    overwrite: true,
    onEvent(event) {
      if (event.kind === "evaluation")
        console.log(`epoch ${event.epoch}: accuracy ${event.metrics.accuracy!.toFixed(2)}`);
      if (event.kind === "freezing") console.log(`step ${event.step}: ${event.frozen.length} matrices froze`);
    },
  },
);
console.log(`best epoch: ${result!.bestEpoch}; see ${directory}/report.html`);

const model = await loadFineTunedModel(directory);
const messages = ["You took the money twice this month", "The window stays white after the update"];
const predictions = await model.predict(messages);
predictions.forEach(({ label, labels }, i) => {
  console.log(`${messages[i]} → ${label} (${labels![0]!.probability.toFixed(2)})`);
});
await model.release();

const exported = `${directory}-onnx`;
await rm(exported, { recursive: true, force: true });
const { comparedTexts, largestDifference } = await exportRun(directory, { format: "onnx", output: exported });
console.log(`${exported}: logits equal on ${comparedTexts} texts within ${largestDifference.toExponential(0)}`);
