import { languageModel } from "./kinds/language-model.ts";

/** How GSM8K's `train.jsonl` is read: columns, and the kind of task. */
export const GSM8K = { kind: languageModel.name, text: "question", label: "answer" } as const;

/** How `math_10k.json` of LLM-Adapters (github.com/AGI-Edgerunners/LLM-Adapters, `ft-training_set`) is read. */
export const MATH_10K = { kind: languageModel.name, text: "instruction", textPair: "input", label: "output" } as const;
