import { fineTune } from "aflora";

/** A folder, a GGUF file or a name on the Hugging Face hub. */
const model = process.env.MODEL ?? "HuggingFaceTB/SmolLM2-135M-Instruct";

const { directory, result } = await fineTune(
  { model, train: "chat.jsonl", method: "lora", output: "runs/chat" },
  {
    overwrite: true,
    onEvent(event) {
      if (event.kind === "evaluation")
        console.log(`epoch ${event.epoch.toFixed(1)}: perplexity ${event.metrics.perplexity}`);
    },
  },
);
console.log(`perplexity ${result?.metrics.perplexity}, report: ${directory}/report.html`);
