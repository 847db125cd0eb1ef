import type { HeadFeatures } from "../architectures/heads.ts";
import type { Augmentation } from "../inputs/augment-picture.ts";
import type { ChatMessage } from "../inputs/chat-template.ts";
import type { List } from "./list.ts";

/** Values that a model reads for an example in addition to its tokens, such as a picture. */
export interface ModelInput {
  shape: readonly number[];
  /** Identifies the values: equal inputs have the same key. */
  key: string;
  /** Writes the values, row-major. @param variant selects an augmented variant for training (default: the unchanged values) */
  write(into: Float32Array, variant?: number): void;
}

/** A picture's pixels. */
export interface PictureInput extends ModelInput {
  /** @param augmentation kind of variants (default: none) */
  write(into: Float32Array, variant?: number, augmentation?: Augmentation): void;
}

/** Samples of a sound, at the sampling rate of the model. */
export interface SoundInput {
  /** Number of tokens of the whole sound. */
  tokens: number;
  /** The part with this many tokens, normalized, padded with zeros if the sound is shorter: `[samples]`. */
  ofLength(tokens: number): ModelInput;
}

/** One row of a data set. */
export interface Example {
  /** Position in its split, from 0. It is the same in all epochs, so that dropout can be drawn per example. */
  index: number;
  text: string;
  /** Second sentence of a pair. */
  textPair?: string;
  /** Input of an instruction, with which `text` ends; for prompt templates that set it apart. */
  context?: string;
  /** Further texts, each of which goes through the model separately: those that an anchor or a query is compared with. */
  texts?: readonly string[];
  /** Words of `text`, which joins them with spaces, for kinds that label words. */
  words?: string[];
  /** Encoded file of a picture or sound that the row itself contains. `text` is then its place, not a path. */
  bytes?: Uint8Array;
  /** The picture at the path `text`, once it is read. */
  picture?: PictureInput;
  /** The sound at the path `text`, once it is read. */
  sound?: SoundInput;
  /** A conversation, for kinds that learn from conversations. */
  messages?: readonly ChatMessage[];
  /** Tools that the assistant may call, as JSON schemas. */
  tools?: readonly unknown[];
  /** The whole row, for kinds whose rewards depend on it. */
  row?: Readonly<Record<string, unknown>>;
  /** `file, line n`, for later error messages. */
  place?: string;
  /** Class index into `TaskData.labels`, or a real value, depending on the kind. Undefined if the data has no labels. */
  label?: number;
  /** Class indices, for kinds whose examples have several. */
  labels?: number[];
}

/** A model's prediction for one example, in the form of the example's label, or the likelihood of its text. */
export interface Prediction extends Pick<Example, "label" | "labels"> {
  /** Probability of `label`, for kinds that choose one class. */
  probability?: number;
  /** Likelihood of the counted tokens: their number, the logarithm of their probability, and the number of top-1 hits. */
  likelihood?: { tokens: number; logProbability: number; hits: number };
  /** For kinds that compare answers: number of tokens, logarithm of the probability and reward of each answer. */
  answers?: readonly { tokens: number; logProbability: number; reward: number }[];
  /** For kinds that learn from rewards: the model's answer and its reward; undefined if the reward function failed. */
  written?: { tokens: number; reward: number | undefined };
  /** For kinds whose examples have several texts: output of the head for each text. */
  vectors?: readonly Float32Array[];
}

/** A named list of examples to evaluate on. MNLI has two, every other task has one. */
export interface EvaluationSplit {
  /** `validation`, `validation_matched`, `validation_mismatched`. */
  name: string;
  examples: List<Example>;
}

/** Source of a task's examples. */
export interface DataOrigin {
  /** Local files. */
  files?: readonly string[];
  /** Commit of a data set on the hub. */
  revision?: string;
}

/** Random draw of validation examples. */
export interface HeldOut {
  /** Requested share of the examples. */
  fraction: number;
  seed: number;
}

/** A task as it was read. */
export interface TaskData {
  /** GLUE's lower-case name (`cola`, `sst2`, …) or `custom`. */
  name: string;
  /** Name of the kind of task. */
  kind: string;
  /** Class names in label order; empty if the kind has no classes. */
  labels: string[];
  train: List<Example>;
  validation: EvaluationSplit[];
  /** Metrics of the kind, in the order shown; the first selects the best epoch. */
  metrics: string[];
  /** Features that the head reads, for kinds that label whole texts (default: those of the model's family). */
  features?: HeadFeatures | undefined;
  /** Options of the kind, such as its loss. */
  options?: Readonly<Record<string, unknown>>;
  /** Undefined if the examples were made in memory. */
  origin?: DataOrigin;
  /** Number of empty rows among the training rows, which were left out. */
  skipped?: number | undefined;
  /** Changes of the rows that the user asked for, in words. */
  notes?: readonly string[];
  /** Draw of the validation examples from the training examples; undefined if the data has its own. */
  heldOut?: HeldOut;
}
