import type { HeadFeatures } from "../models/heads.ts";
import type { Augmentation } from "../tokenization/augment-picture.ts";
import type { ChatMessage } from "../tokenization/chat-template.ts";

/** Numbers that a model reads of an example beside its tokens, such as a picture. */
export interface ModelInput {
  shape: readonly number[];
  /** Tells one from another: equal ones have the same. */
  key: string;
  /** Writes them, row-major. @param variant chooses one of the ways in which training may see them; as they are where absent */
  write(into: Float32Array, variant?: number): void;
}

/** A picture's pixels. */
export interface PictureInput extends ModelInput {
  /** @param augmentation how variants differ; not at all where absent */
  write(into: Float32Array, variant?: number, augmentation?: Augmentation): void;
}

/** A sound's samples, as fast as the model takes them. */
export interface SoundInput {
  /** Tokens that all of it comes to. */
  tokens: number;
  /** As much of it as comes to so many tokens, normalised, with zeros behind where it is shorter: `[samples]`. */
  ofLength(tokens: number): ModelInput;
}

/** One row of a data set. */
export interface Example {
  /** Position in its split, from 0: stable across epochs, so that dropout can be drawn per example. */
  index: number;
  text: string;
  /** Second sentence of a pair. */
  textPair?: string;
  /** Further texts, each of which goes through the model by itself: what an anchor or a query is compared with. */
  texts?: readonly string[];
  /** The words of `text`, which joins them by spaces: of kinds that label words. */
  words?: string[];
  /** The file of a picture or sound that the row itself holds, not yet read: `text` then says where it stands, and is no path. */
  bytes?: Uint8Array;
  /** The picture at the path that `text` is, where it has been read. */
  picture?: PictureInput;
  /** The same of a sound. */
  sound?: SoundInput;
  /** A conversation, of kinds that learn what is said in it. */
  messages?: readonly ChatMessage[];
  /** Tools that its assistant may call, as JSON schemas. */
  tools?: readonly unknown[];
  /** The whole row, of kinds whose answers are scored by what stands in it. */
  row?: Readonly<Record<string, unknown>>;
  /** `file, line n`, where errors that come later are to name it. */
  place?: string;
  /** Class index into `TaskData.labels`, or a real value, as the kind says. Absent where the data has no labels. */
  label?: number;
  /** Class indices, where an example has several, as the kind says. */
  labels?: number[];
}

/** What a model says of one example, written as the example's own label is, or of how well it foresees its text. */
export interface Prediction extends Pick<Example, "label" | "labels"> {
  /** Of the tokens that count: how many, the logarithm of their probability, and how many were the likeliest. */
  likelihood?: { tokens: number; logProbability: number; hits: number };
  /** Of kinds that compare answers: of each the number of its tokens, the logarithm of its probability, and its reward. */
  answers?: readonly { tokens: number; logProbability: number; reward: number }[];
  /** Of kinds that learn from rewards: the model's answer, and what it got; nothing where its reward failed. */
  written?: { tokens: number; reward: number | undefined };
  /** Of kinds whose examples are several texts: what the head gives for each. */
  vectors?: readonly Float32Array[];
}

/** A named list of examples to evaluate on: MNLI has two, every other task one. */
export interface EvaluationSplit {
  /** `validation`, `validation_matched`, `validation_mismatched`. */
  name: string;
  examples: Example[];
}

/** Where a task's examples were read from. */
export interface DataOrigin {
  /** Local files. */
  files?: readonly string[];
  /** Of a data set on the hub, the commit that it is. */
  revision?: string;
}

/** A draw of validation examples. */
export interface HeldOut {
  /** Share of the examples that it was to be. */
  fraction: number;
  seed: number;
}

/** A task read into memory. */
export interface TaskData {
  /** GLUE's lower-case name (`cola`, `sst2`, …) or `custom`. */
  name: string;
  /** Name of its kind. */
  kind: string;
  /** Class names in label order; empty where the kind has none. */
  labels: string[];
  train: Example[];
  validation: EvaluationSplit[];
  /** Some of the kind's metrics, in the order shown; the first is the one that picks the best epoch. */
  metrics: string[];
  /** What the head of a kind for whole texts reads; as the model's family has it where absent. */
  features?: HeadFeatures | undefined;
  /** Settings of the kind's own, such as its loss. */
  options?: Readonly<Record<string, unknown>>;
  /** Absent where the examples were made in memory. */
  origin?: DataOrigin;
  /** How the validation examples were drawn out of the training ones; absent where they are the data's own. */
  heldOut?: HeldOut;
}
