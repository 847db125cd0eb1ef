import { fineTune } from "aflora";

const { directory, result } = await fineTune(
  { train: "tickets.csv", text: "message", label: "team", output: "runs/tickets" },
  {
    overwrite: true,
    onEvent(event) {
      if (event.kind === "evaluation")
        console.log(`epoch ${event.epoch.toFixed(1)}: accuracy ${event.metrics.accuracy}`);
    },
  },
);
console.log(`accuracy ${result?.metrics.accuracy}, report: ${directory}/report.html`);
