import { fineTune } from "aflora";

const { directory, result } = await fineTune(
  { train: "pairs.jsonl", kind: "embedding", epochs: 3, batchSize: 8, validationSplit: 0.25, output: "runs/search" },
  { overwrite: true },
);
console.log(result?.metrics, `report: ${directory}/report.html`);
