import type { Example, TaskData, TaskKind } from "../tasks/example.ts";
import type { Encoding, Tokenizer } from "../tokenization/tokenizer.ts";
import type { Objective } from "./objective.ts";

/** An example as the step graph takes it. */
export interface TrainingExample {
  /** Its position in the training set: dropout is drawn by it. */
  index: number;
  encoding: Encoding;
  /** `[labels]`: one-hot class, 0/1 labels, or the real value. */
  targets: Float32Array;
  /** What it counts for: its class's weight. */
  weight: number;
}

/** The objective that a kind of task minimises. */
export const OBJECTIVES: Readonly<Record<TaskKind, Objective>> = {
  classification: "cross-entropy",
  regression: "squared-error",
  "multi-label": "binary-cross-entropy",
  "token-classification": "cross-entropy",
};

/** Number of a head's outputs for a task. */
export function labelCountFor({ kind, labels }: Pick<TaskData, "kind" | "labels">): number {
  return kind === "regression" ? 1 : labels.length;
}

/** Encodes examples and lays out their targets. */
export function trainingExamples(
  task: Pick<TaskData, "kind" | "labels">,
  examples: readonly Example[],
  tokenizer: Tokenizer,
  maxLength: number,
  classWeights?: readonly number[],
): TrainingExample[] {
  return examples.map((example) => {
    const targets = new Float32Array(labelCountFor(task));
    if (task.kind === "regression") targets[0] = example.label!;
    else for (const label of example.labels ?? [example.label!]) targets[label] = 1;
    return {
      index: example.index,
      encoding: tokenizer.encode(example.text, example.textPair, maxLength),
      targets,
      weight: classWeights?.[example.label!] ?? 1,
    };
  });
}
