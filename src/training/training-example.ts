import type { HeadKind } from "../models/architecture.ts";
import type { Example, TaskData, TaskKind } from "../tasks/example.ts";
import { type Prediction, predictionOf } from "../tasks/metrics.ts";
import type { Encoding, Tokenizer, WordEncoding } from "../tokenization/tokenizer.ts";
import type { Objective } from "./objective.ts";

/** An example as the step graph takes it. Its rows are what gets labelled: the text as a whole, or each of its tokens. */
export interface TrainingExample {
  /** Its position in the training set: dropout is drawn by it. */
  index: number;
  encoding: Encoding;
  /** `[rows, labels]`: one-hot class, 0/1 labels, or the real value. */
  targets: Float32Array;
  /** `[rows]`: what each counts for, such as its class's weight; 0 for tokens that begin no word. */
  weights: Float32Array;
}

type Task = Pick<TaskData, "kind" | "labels">;

/** The objective that a kind of task minimises. */
export const OBJECTIVES: Readonly<Record<TaskKind, Objective>> = {
  classification: "cross-entropy",
  regression: "squared-error",
  "multi-label": "binary-cross-entropy",
  "token-classification": "cross-entropy",
};

/** Number of a head's outputs for a task. */
export function labelCountFor({ kind, labels }: Task): number {
  return kind === "regression" ? 1 : labels.length;
}

/** What the head for a kind of task labels. */
export function headFor(kind: TaskKind): HeadKind {
  return kind === "token-classification" ? "token" : "sequence";
}

/** Token ids of an example; of token classification, those of its words. */
export function encodeExample(
  kind: TaskKind,
  { text, textPair, words }: Example,
  tokenizer: Tokenizer,
  maxLength: number,
): Encoding {
  return headFor(kind) === "token"
    ? tokenizer.encodeWords(words!, maxLength)
    : tokenizer.encode(text, textPair, maxLength);
}

/** Encodes examples and lays out their targets. */
export function trainingExamples(
  { kind, labels }: Task,
  examples: readonly Example[],
  tokenizer: Tokenizer,
  maxLength: number,
  classWeights?: readonly number[],
): TrainingExample[] {
  const labelCount = labelCountFor({ kind, labels });
  return examples.map((example) => {
    const encoding = encodeExample(kind, example, tokenizer, maxLength);
    const rows = headFor(kind) === "token" ? encoding.inputIds.length : 1;
    const targets = new Float32Array(rows * labelCount);
    const weights = new Float32Array(rows);
    const setClass = (row: number, label: number): void => {
      targets[row * labelCount + label] = 1;
      weights[row] = classWeights?.[label] ?? 1;
    };
    if (kind === "token-classification") {
      for (const [word, token] of firstTokens(encoding as WordEncoding)) setClass(token, example.labels![word]!);
    } else if (kind === "classification") {
      setClass(0, example.label!);
    } else {
      weights[0] = 1;
      if (kind === "regression") targets[0] = example.label!;
      else for (const label of example.labels!) targets[label] = 1;
    }
    return { index: example.index, encoding, targets, weights };
  });
}

/** Each word that was read, with its first token: the token that speaks for it. */
export function* firstTokens({ wordIds }: WordEncoding): Generator<[word: number, token: number]> {
  for (const [token, word] of wordIds.entries()) if (word >= 0 && word !== wordIds[token - 1]) yield [word, token];
}

/**
 * What logits say of an example, written as its own label is. Words that were cut off count as outside any entity.
 * @param encoding the example as {@link encodeExample} gave it
 * @param logits `[rows, labels]`
 */
export function predictionFor(task: Task, example: Example, encoding: Encoding, logits: Float32Array): Prediction {
  const labelCount = labelCountFor(task);
  if (task.kind !== "token-classification") return predictionOf(task.kind, logits, labelCount);
  const ofTokens = predictionOf(task.kind, logits, labelCount).labels!;
  const labels = example.words!.map(() => task.labels.indexOf("O"));
  for (const [word, token] of firstTokens(encoding as WordEncoding)) labels[word] = ofTokens[token]!;
  return { labels };
}
