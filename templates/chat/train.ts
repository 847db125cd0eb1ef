import { fineTune } from "aflora";

/** A folder, a GGUF file or a name on the Hugging Face hub. */
const model = process.env.MODEL ?? "HuggingFaceTB/SmolLM2-135M-Instruct";

// The answers of a help desk. Perplexity falls as the model expects them more.
const { directory, result } = await fineTune(
  { model, train: "chat.jsonl", method: "lora", epochs: 4, batchSize: 2, output: "runs/chat" },
  {
    overwrite: true,
    onEvent(event) {
      if (event.kind === "evaluation")
        console.log(`epoch ${event.epoch.toFixed(1)}: perplexity ${event.metrics.perplexity!.toFixed(2)}`);
    },
  },
);
console.log(`perplexity ${result?.metrics.perplexity?.toFixed(2)}, report: ${directory}/report.html`);
