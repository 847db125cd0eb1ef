import { fineTune } from "aflora";

// The queries use names of a company's own tools, which no model knows before it is trained.
const { directory, result } = await fineTune(
  { train: "pairs.jsonl", kind: "embedding", epochs: 10, batchSize: 8, validationSplit: 0.25, output: "runs/search" },
  {
    overwrite: true,
    onEvent(event) {
      if (event.kind === "evaluation")
        console.log(`epoch ${event.epoch.toFixed(1)}: the right text comes first for ${percent(event.metrics)}`);
    },
  },
);
console.log(`the right text comes first for ${percent(result?.metrics)}, report: ${directory}/report.html`);

function percent({ recall_at_1 = 0 }: Record<string, number> = {}): string {
  return `${Math.round(100 * recall_at_1)} % of the held-out queries`;
}
