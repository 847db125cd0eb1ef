import { languageModel } from "./kinds/language-model.ts";

/** How GSM8K's `train.jsonl` is read: columns, and the kind of task. */
export const GSM8K = { kind: languageModel.name, text: "question", label: "answer" } as const;
