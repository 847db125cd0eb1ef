import { fineTune } from "aflora";

// Who wants to leave, and who wants to stay? Both use the same words, which a model has to learn to tell apart.
const { directory, result } = await fineTune(
  { train: "wishes.csv", text: "message", label: "wish", validationSplit: 0.25, output: "runs/wishes" },
  {
    overwrite: true,
    onEvent(event) {
      if (event.kind === "evaluation")
        console.log(`epoch ${event.epoch.toFixed(1)}: accuracy ${event.metrics.accuracy!.toFixed(3)}`);
    },
  },
);
console.log(`accuracy ${result?.metrics.accuracy?.toFixed(3)}, report: ${directory}/report.html`);
