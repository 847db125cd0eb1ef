import type { z } from "zod";
import type { Architecture, KindHead, ModelConfig } from "../architectures/architecture.ts";
import type { Value } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Encoding, Tokenizer } from "../inputs/tokenizer.ts";
import type { Example, ModelInput, Prediction, TaskData } from "./example.ts";
import type { Finding } from "./findings.ts";
import type { HeldOutSearch } from "./held-out-search.ts";
import type { List } from "./list.ts";
import type { Objective } from "./losses/objective.ts";
import type { Media } from "./media.ts";
import type { PairScores } from "./metrics/pair-scores.ts";
import type { SearchOutcome } from "./metrics/retrieval-metrics.ts";
import type { Cell, Columns, ExampleCells, Table } from "./rows.ts";

/** A text that goes through the model separately. */
export interface ReadText {
  encoding: Encoding;
  /** Inputs other than its tokens, by the names of the model's inputs. */
  inputs?: Readonly<Record<string, ModelInput>>;
  /** The decoder's own text, for encoder-decoders. */
  decoder?: Encoding;
  /** Ascending positions of the tokens that have outputs; undefined if the text as a whole has one row of outputs. */
  rows?: Int32Array;
}

/** An encoded example for training and prediction. */
export interface EncodedExample extends ReadText {
  /** Position in the training set, which selects the dropout. */
  index: number;
  /** Further texts of the example. Their output rows follow its own. */
  texts?: readonly ReadText[];
  /**
   * Whether the text was truncated in a way that the user should know. An example without rows teaches nothing and is left out if its
   * kind sets this.
   */
  cut?: boolean;
  /** Whether the decoder's own text was truncated. */
  decoderCut?: boolean;
}

/** Targets of the rows of an example. */
export interface Targets {
  /** `[rows, ...objective.target]` */
  targets: Tensor<"float32"> | Tensor<"int32">;
  /** Weight of each row, such as that of its class, `[rows]`. */
  weights: Float32Array;
  /** Values that may occur only once in a batch: examples that share one are kept apart. */
  oncePerBatch?: readonly string[];
}

/** An encoded example with its targets. */
export interface TrainingExample extends EncodedExample, Targets {}

/** A text or pair to predict for; optionally with its words, so that a kind that labels words does not split it. */
export type TextInput = Pick<Example, "text" | "textPair" | "words" | "bytes">;

/** Settings for generating the answers to learn from. */
export interface RolloutSettings {
  /** Answers to each prompt. */
  numGenerations: number;
  /** Maximum number of tokens of an answer. */
  maxNewTokens: number;
  temperature: number;
}

/** A prompt with the answers that a model generated. */
export interface AnsweredPrompt {
  prompt: EncodedExample;
  answers: readonly {
    ids: readonly number[];
    /** Undefined if the reward function failed. */
    reward: number | undefined;
  }[];
}

/** How a model learns from its own answers, each of which gets a reward. */
export interface Rollout {
  settings(options: TaskOptionValues): RolloutSettings;
  /** Training examples of one step: the answers to its prompts from which the model can learn, at least one. */
  examplesOf(prompts: readonly AnsweredPrompt[], options: TaskOptionValues): TrainingExample[];
}

/** Trait of kinds whose models write texts. */
export interface Writing {
  /** The text that a model reads, in order, split by whether the loss counts it; shown before training. */
  countedParts?(encoded: EncodedExample, tokenizer: Tokenizer): { text: string; counts: boolean }[];
  /** Answers that need no model, by name; `evaluate --generate` scores them too. */
  readonly baselines?: Readonly<Record<string, (text: string) => string>>;
  /** Whether scored answers are split into sentences, not into lines. */
  readonly bySentence?: boolean;
  /** Set if the model learns from answers that it generates during training. */
  readonly rollout?: Rollout;
}

/** Trait of kinds whose models search. */
export interface Retrieval {
  /** By a vector for each text, or by a score for each query with a passage. */
  readonly by: "vectors" | "scores";
  /** Held-out examples as a search, to compare with other search methods; undefined if these examples are no search. */
  searchIn(examples: readonly Example[]): HeldOutSearch | undefined;
  /** Results of each query; search metrics are means over the queries. */
  outcomesOf(predictions: readonly Prediction[], examples: readonly Example[]): SearchOutcome[];
  /** Scores of pairs that belong together and of others, for a report. */
  pairScoresOf(predictions: readonly Prediction[], examples: readonly Example[]): PairScores;
}

/** Results that an evaluation shows beside the metrics of predictions. */
export interface Review {
  /** Computes and keeps values that the metrics and findings of these predictions share, if that takes long, and pauses sometimes. */
  prepare?(predictions: readonly Prediction[], examples: readonly Example[]): Generator<void, unknown>;
  /** Further results of `evaluate`. */
  details?(
    predictions: readonly Prediction[],
    examples: readonly Example[],
    labels: readonly string[],
  ): EvaluationDetails;
  /** Tables about held-out examples for a report, the most useful first. */
  findings?(predictions: readonly Prediction[], examples: readonly Example[], labels: readonly string[]): Finding[];
  /** Answers that ignore the text, each given to all examples: a model must score better to have learned anything. */
  sameAnswers?(examples: readonly Example[], labels: readonly string[]): Prediction[];
}

/** A task option that is a threshold of the model's outputs. */
export interface ThresholdOption {
  /** The best threshold for outputs `[rows, outputs]` of heads that were fitted without these examples, as a task option. */
  fitted(logits: readonly Float32Array[]): TaskOptionValues;
  /** The same options after the model's outputs are divided by a temperature. */
  withTemperature(options: TaskOptionValues, temperature: number): TaskOptionValues;
}

/** A measure of predictions, as one number. */
export interface Metric {
  higherIsBetter: boolean;
  /** Returns 0 if the metric is undefined, for example without any positives. */
  compute(predictions: readonly Prediction[], examples: readonly Example[], labels: readonly string[]): number;
}

/** Results that an evaluation shows in addition to a task's metrics. */
export interface EvaluationDetails {
  metrics: Record<string, number>;
  /** Counts of examples `[true label, predicted label]`. */
  confusion?: number[][];
}

/** Names of this kind of task in Hugging Face's tools. */
export interface HuggingFaceForm {
  autoClass: "AutoModel" | `AutoModelFor${string}`;
  /** Ending of a family's class (default: that of the auto class). */
  className?: `For${string}`;
  /** `problem_type` of config.json. */
  problemType: string | null;
  /** `task_type` of adapter_config.json; null if PEFT has none. */
  peftTaskType: string | null;
  /** Name of the pipeline in Transformers and Transformers.js. */
  pipeline: string;
  /** Texts for the README of an export. */
  readme: {
    /** A sentence about the outputs with these names. @param options of the task */
    outputs(names: readonly string[], options?: TaskOptionValues): string;
    /** JavaScript call of `classify`, the pipeline; undefined if the pipeline does not support this kind. */
    pipelineCall?: string;
    /** JavaScript that shows the meaning of `logits`; undefined if the pipeline supports everything that the kind needs. */
    showLogits?(names: readonly string[]): string;
  };
}

/** Reduces outputs that are too wide to store to a few values within the graph, for each row that has a target. */
export interface Readout {
  /** Number of values per row. */
  width: number;
  /** `[rows, outputs]`, targets in the objective's layout → `[rows, width]`. */
  write(outputs: Value, targets: Value): Value;
  /** The objective's loss, summed over rows by weight. @param values `[rows, width]` @param weights `[rows]` */
  loss(values: Float32Array, weights: Float32Array): number;
}

/** Sizes of a model that the number of outputs may depend on. */
export type ModelSize = Pick<ModelConfig, "hiddenSize" | "maxLength">;

/** Options of a task by name, as made by its kind. */
export type TaskOptionValues = Readonly<Record<string, unknown>>;

/** Rules that recognize data of a kind. */
export interface Recognition {
  /** Kinds are tried in ascending order; the first that fits is used. */
  order: number;
  /** Whether the names of a table's columns show the kind, if the user names no columns. */
  fitsColumns?(table: Table): boolean;
  /** Whether examples with these texts and labels, row by row, are of this kind. */
  fitsRows(texts: List<Cell>, labels: List<Cell>): boolean;
  /** Labels of the task that a checkpoint's head was made for; undefined if the head is of another kind. */
  labelsOfHead(outputs: readonly string[], problemType: string | null | undefined): string[] | undefined;
}

/** Reads a table with columns of the kind's own. */
export interface TableReading {
  /** Types of rows in words, by the option `rows` that {@link read} returns (default: all tables have the same type). */
  readonly holds?: Readonly<Record<string, string>>;
  /**
   * @param columns names that the user gave
   * @param labels of the task, if they are known
   * @param rows the task's option `rows`, if it is known, for tables that fit several values
   * @throws UserError if columns are missing, or a row has no text or no valid label.
   */
  read(
    table: Table,
    columns: Partial<Columns>,
    labels?: readonly string[],
    rows?: unknown,
  ): { examples: Omit<Example, "index">[]; labels: string[]; metrics: string[]; options: Record<string, unknown> };
}

/**
 * A kind of task: how rows become examples, the loss, the meaning of the model's outputs, and their metrics. Each kind is one object in
 * a file of its own. Code outside of `tasks/` reads these members and depends on no particular kind.
 */
export interface TaskKind<Output extends object = object, Options extends z.ZodObject = z.ZodObject> {
  readonly name: string;
  /** One line for --help. */
  readonly summary: string;

  // The model

  /** A head of the model's family, or one of the kind's own. */
  readonly head: KindHead;
  /** The only kind of model that suits (default: every model that has the head). */
  readonly modelKind?: Architecture["kind"];
  /** Files that an example's text is the path of (default: it is a text). */
  readonly reads?: Media;
  readonly huggingFace: HuggingFaceForm;
  /** Number of the head's outputs. @param config of a model with the head; undefined if there is no model yet */
  outputs(labels: readonly string[], config?: ModelConfig): number;

  // From rows to examples

  /** How data of this kind is recognized if no kind is named (default: the kind must be named). */
  readonly recognition?: Recognition;
  /** Reads tables that hold more than a text, a pair and a label. */
  readonly table?: TableReading;
  /**
   * Chooses the columns that make up examples (default: `text` and `label`).
   * @throws UserError if the table does not show which columns to use.
   */
  columnsIn?(table: Table, given: Partial<Columns>): Columns;
  /**
   * Labels of a column, in their order; none if the kind has no classes.
   * @throws UserError if a cell holds no valid label, or there is nothing to learn.
   */
  labelsIn(table: Table, column: string): string[];
  /**
   * Makes an example of a row.
   * @throws UserError if it has no text, no label, or a label that is not among `labels`.
   */
  exampleOfRow(cells: ExampleCells, labels: readonly string[]): Omit<Example, "index">;
  /** Makes an example to predict for. @throws UserError if the kind does not take such texts. */
  exampleOfInput(input: TextInput): Omit<Example, "index">;
  /** Class of which a held-out part gets its share (default: examples are drawn without regard to classes). */
  stratumOf?(example: Example): number;

  // Options

  /** The kind's options, each with a description; they become flags and keys of config files. */
  readonly options?: Options;
  /**
   * Makes a task's `options` of the given ones (default: the task's own and the given ones).
   * @throws UserError if a given option does not suit the examples or the model.
   */
  optionsFor?(given: z.output<Options>, task: TaskData, model: ModelSize): Record<string, unknown>;
  /** Set if predictions depend on a threshold of the outputs. */
  readonly threshold?: ThresholdOption;

  // Training

  readonly objective: Objective;
  /** The objective for a task's options (default: {@link objective}). */
  objectiveFor?(options: TaskOptionValues): Objective;
  /** Training refines what the base model computes already, so a method's lower learning rate suits. */
  readonly refines?: true;
  /** Defaults of a run (default: those of most kinds). */
  readonly recipe?: { epochs?: number; batchSize?: number; maxLength: number };
  /** @param options of the task; undefined for a model that was not fine-tuned here */
  encode(example: Example, tokenizer: Tokenizer, maxLength: number, options?: TaskOptionValues): EncodedExample;
  /** Targets and weights of an example that has its label. @param classWeights `[labels]` (default: 1 each) */
  targets(
    example: Example,
    encoded: EncodedExample,
    labels: readonly string[],
    classWeights?: readonly number[],
  ): Targets;
  /** Classes of an example, if rare classes can get a higher weight. */
  classesOf?(example: Example): readonly number[];
  /** Notes about the training examples for the user. @param encoded the examples that are left to train on */
  notesOf?(examples: readonly Example[], encoded: readonly EncodedExample[], options: TaskOptionValues): string[];

  // Predictions

  /**
   * Values that leave the graph instead of the outputs; `predict` and `describe` get these. Every example then needs a target, and the
   * objective couples nothing.
   */
  readonly readout?: Readout;
  /** The prediction in the form of an example's label. @param logits `[rows, outputs]` @param options of the task */
  predict(
    labels: readonly string[],
    example: Example,
    encoded: EncodedExample,
    logits: Float32Array,
    options?: TaskOptionValues,
  ): Prediction;
  /** The prediction for users. @param logits `[rows, outputs]` @param options of the task */
  describe(
    labels: readonly string[],
    example: Example,
    encoded: EncodedExample,
    logits: Float32Array,
    options?: TaskOptionValues,
  ): Output;
  /** Formats this prediction in one line, without the text. */
  lineOf(output: Output): string;
  /** This prediction as cells of a table, by column (default: all that {@link describe} returns). */
  cellsOf?(output: Output): Readonly<Record<string, unknown>>;

  // Scores

  /** Metrics by Hugging Face's names and in its scale: 0 to 1, correlations -1 to 1. */
  readonly metrics: Readonly<Record<string, Metric>>;
  /** Metrics of a task that names none, in the order shown; the first picks the best epoch. */
  readonly defaultMetrics: readonly string[];

  // Traits, which code outside of `tasks/` asks for

  /** Predictions choose one class for each example, about which a model can be unsure. */
  readonly choosesClass?: true;
  /** Examples are words with a label each, as CoNLL files hold them. */
  readonly labelsWords?: true;
  /** The one output is the reward of an answer to a prompt, from which other models can learn. */
  readonly rewards?: true;
  /** Set if models write texts. */
  readonly writing?: Writing;
  /** Set if models search. */
  readonly retrieval?: Retrieval;
  readonly review?: Review;
}
