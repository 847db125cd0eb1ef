import type { z } from "zod";
import type { Value } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Architecture, HeadName, ModelConfig } from "../models/architecture.ts";
import type { Encoding, Tokenizer } from "../tokenization/tokenizer.ts";
import type { Example, ModelInput, Prediction, TaskData } from "./example.ts";
import type { HeldOutSearch } from "./held-out-search.ts";
import type { Objective } from "./losses/objective.ts";
import type { Media } from "./media.ts";
import type { PairScores } from "./metrics/pair-scores.ts";
import type { Cell, Columns, ExampleCells, Table } from "./rows.ts";

/** A text that goes through the model by itself. */
export interface ReadText {
  encoding: Encoding;
  /** What is read beside its tokens, by the names of the model's inputs. */
  inputs?: Readonly<Record<string, ModelInput>>;
  /** Of encoder-decoders: the decoder's own text. */
  decoder?: Encoding;
  /** Positions of the tokens that get outputs, ascending; absent where the text as a whole gets them (one row). */
  rows?: Int32Array;
}

/** An example as training and prediction take it. */
export interface EncodedExample extends ReadText {
  /** Position in the training set: dropout is drawn by it. */
  index: number;
  /** Further texts of the example; their rows of outputs follow its own. */
  texts?: readonly ReadText[];
  /**
   * Whether tokens were cut away that a person should know of. Where a kind says that, an example without rows teaches nothing
   * and is left out.
   */
  cut?: boolean;
  /** The same of the decoder's own text. */
  decoderCut?: boolean;
}

/** What the rows of an example are to come to. */
export interface Targets {
  /** `[rows, ...objective.target]` */
  targets: Tensor<"float32"> | Tensor<"int32">;
  /** `[rows]`: what each counts for, such as its class's weight. */
  weights: Float32Array;
  /** What may be in a batch only once: examples that share any of it are kept apart. */
  oncePerBatch?: readonly string[];
}

export interface TrainingExample extends EncodedExample, Targets {}

/** A text to predict for, or a pair; its words, where a kind that labels words is not to split it itself. */
export type TextInput = Pick<Example, "text" | "textPair" | "words" | "bytes">;

/** How a model writes answers to learn from. */
export interface RolloutSettings {
  /** Answers to each prompt. */
  numGenerations: number;
  /** Most tokens of one. */
  maxNewTokens: number;
  temperature: number;
}

/** A prompt with the answers that a model wrote to it. */
export interface AnsweredPrompt {
  prompt: EncodedExample;
  answers: readonly {
    ids: readonly number[];
    /** Nothing where it failed. */
    reward: number | undefined;
  }[];
}

/** How a model learns from its own answers, each of which gets a reward. */
export interface Rollout {
  settings(options: TaskOptionValues): RolloutSettings;
  /** Training examples of one step: the answers to its prompts from which the model can learn, at least one. */
  examplesOf(prompts: readonly AnsweredPrompt[], options: TaskOptionValues): TrainingExample[];
}

/** A task option that is a threshold of the model's outputs. */
export interface ThresholdOption {
  /** The best threshold for outputs `[rows, outputs]` of heads that were fitted without these examples, as a task option. */
  fitted(logits: readonly Float32Array[]): TaskOptionValues;
  /** The same options after the model's outputs are divided by a temperature. */
  cooled(options: TaskOptionValues, temperature: number): TaskOptionValues;
}

/** How `evaluate --generate` scores a model's answers. */
export interface AnswerScoring {
  /** Answers that need no model, by name; they are scored too. */
  readonly baselines?: Readonly<Record<string, (text: string) => string>>;
  /** Whether answers are split into sentences, not into lines. */
  readonly bySentence?: boolean;
}

/** Relevance of a passage for a query. */
export interface RerankedText {
  /** The model's one output; a higher value is better. */
  logit: number;
  /** `1 / (1 + e^-logit)`, from 0 to 1. */
  sigmoid: number;
}

/** How good predictions are, as one number. */
export interface Metric {
  higherIsBetter: boolean;
  /** 0 where it is not defined, such as without any positives. */
  compute(predictions: readonly Prediction[], examples: readonly Example[], labels: readonly string[]): number;
}

/** What an evaluation shows beside a task's metrics. */
export interface EvaluationDetails {
  metrics: Record<string, number>;
  /** Counts of examples `[true label, predicted label]`. */
  confusion?: number[][];
}

/** What a model of this kind is to Hugging Face's tools. */
export interface HuggingFaceForm {
  autoClass: "AutoModel" | `AutoModelFor${string}`;
  /** What a family's class ends with; as the auto class's where absent. */
  className?: `For${string}`;
  /** `problem_type` of config.json. */
  problemType: string | null;
  /** `task_type` of adapter_config.json; null where PEFT has none for it. */
  peftTaskType: string | null;
  /** Name of the pipeline in Transformers and Transformers.js. */
  pipeline: string;
  /** What the README of an export says. */
  readme: {
    /** A sentence on the outputs of these names. @param options of the task */
    outputs(names: readonly string[], options?: TaskOptionValues): string;
    /** How `classify`, the pipeline, is called in JavaScript; absent where it does not serve this kind. */
    pipelineCall?: string;
    /** JavaScript that shows what `logits` say; absent where the pipeline serves all that the kind takes. */
    showLogits?(names: readonly string[]): string;
  };
}

/** What leaves the graph in place of outputs that are too wide to look at: a few numbers for each row that has a target. */
export interface Readout {
  /** Numbers for each row. */
  width: number;
  /** `[rows, outputs]`, targets as the objective has them → `[rows, width]`. */
  write(outputs: Value, targets: Value): Value;
  /** The objective's loss of rows, summed by weights. @param values `[rows, width]` @param weights `[rows]` */
  loss(values: Float32Array, weights: Float32Array): number;
}

/** What of a model the number of its outputs may depend on. */
export type ModelSize = Pick<ModelConfig, "hiddenSize" | "maxLength">;

/** Options of a task by name, as its kind made them. */
export type TaskOptionValues = Readonly<Record<string, unknown>>;

/** How data of a kind is recognized. */
export interface Recognition {
  /** Kinds are tried in ascending order; the first that fits is taken. */
  order: number;
  /** Whether the names of a table's columns show the kind, if the user names no columns. */
  fitsColumns?(table: Table): boolean;
  /** Whether examples with these texts and labels, row by row, are of this kind. */
  fitsRows(texts: readonly Cell[], labels: readonly Cell[]): boolean;
  /** Labels of the task that a checkpoint's head was made for; undefined if the head is of another kind. */
  labelsOfHead(outputs: readonly string[], problemType: string | null | undefined): string[] | undefined;
}

/** How a kind reads a table by columns of its own. */
export interface TableReading {
  /**
   * @param columns those that were named
   * @param labels of the task, where they are known
   * @throws UserError where columns are missing, or a row lacks a text or a sound label.
   */
  read(
    table: Table,
    columns: Partial<Columns>,
    labels?: readonly string[],
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

  /** What the model's head gives outputs for: the whole text, or its tokens. */
  readonly head: HeadName;
  /** The only kind of model that suits (default: every model that has the head). */
  readonly modelKind?: Architecture["kind"];
  /** Files that an example's text is the path of (default: it is a text). */
  readonly reads?: Media;
  readonly huggingFace: HuggingFaceForm;
  /** Number of the head's outputs. @param config of a model with the head; undefined if no model is at hand */
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
  /** Set if the model learns from answers that it generates during training. */
  readonly rollout?: Rollout;
  /** Notes about the training examples for the user. @param encoded the examples that are left to train on */
  notesOf?(examples: readonly Example[], encoded: readonly EncodedExample[], options: TaskOptionValues): string[];
  /** The text that a model reads, in order, split by whether the loss counts it; shown before training. */
  countedParts?(encoded: EncodedExample, tokenizer: Tokenizer): { text: string; counts: boolean }[];

  // Predictions

  /**
   * Values that leave the graph instead of the outputs; `predict` and `describe` get these. Every example then needs a target, and the
   * objective couples nothing.
   */
  readonly readout?: Readout;
  /**
   * Meaning of the one output for a pair of texts: relevance of a passage for a query (predictions are a {@link RerankedText}), or
   * reward of an answer to a prompt. Undefined for kinds that do not score pairs so.
   */
  readonly scores?: "relevance" | "reward";
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
  /** The same in a line, without the text. */
  lineOf(output: Output): string;

  // Scores

  /** Metrics by Hugging Face's names and in its scale: 0 to 1, correlations -1 to 1. */
  readonly metrics: Readonly<Record<string, Metric>>;
  /** Metrics of a task that names none, in the order shown; the first picks the best epoch. */
  readonly defaultMetrics: readonly string[];
  /** Further results of `evaluate`. */
  detailsOf?(
    predictions: readonly Prediction[],
    examples: readonly Example[],
    labels: readonly string[],
  ): EvaluationDetails;
  /** Answers that ignore the text, each given to all examples: a model must score better to have learned anything. */
  sameAnswers?(examples: readonly Example[], labels: readonly string[]): Prediction[];
  /** Held-out examples as a search, to compare with other search methods; undefined if these examples are no search. */
  searchIn?(examples: readonly Example[]): HeldOutSearch | undefined;
  /** Scores of pairs that belong together and of others, for a report. */
  pairScoresOf?(predictions: readonly Prediction[], examples: readonly Example[]): PairScores;
  /** How generated answers are scored (default: line by line, without baselines). */
  readonly answerScoring?: AnswerScoring;
}
