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
 * A kind of task: how rows become examples, what is minimised, what a model's outputs say, and how good that is.
 * Each is one object in a file of its own; nothing outside of `tasks/` knows them apart.
 */
export interface TaskKind<Output extends object = object, Options extends z.ZodObject = z.ZodObject> {
  readonly name: string;
  /** One line for --help. */
  readonly summary: string;
  /** What the model's head gives outputs: the whole text, or tokens. */
  readonly head: HeadName;
  /** What an example's text is the path of; absent: it is a text. */
  readonly reads?: Media;
  /** The only kind of model that it is for; absent: all that have the head. */
  readonly modelKind?: Architecture["kind"];
  readonly objective: Objective;
  /**
   * What predictions are made of in place of the outputs, in `predict` and `describe` too; then every example has a target. Its
   * objective couples nothing.
   */
  readonly readout?: Readout;
  /** In Hugging Face's names and scale: 0 to 1, correlations -1 to 1. */
  readonly metrics: Readonly<Record<string, Metric>>;
  /** Metrics of a task that names none, in the order shown; the first picks the best epoch. */
  readonly defaultMetrics: readonly string[];
  readonly huggingFace: HuggingFaceForm;
  /** Whether a `.txt` file with labels has one word and its tag a line, as CoNLL files do. */
  readonly oneWordALine?: boolean;
  /** Training refines what the base model computes already, so that a method's lower learning rate suits. */
  readonly refines?: true;
  /** What a run has that is not asked for something else; absent: what most have. */
  readonly recipe?: { epochs?: number; batchSize?: number; maxLength: number };
  /** How the kind is told where nobody names it; absent: it must be asked for. */
  readonly recognition?: {
    /** Kinds are tried in ascending order: the first that fits is taken. */
    order: number;
    /** Whether a table is of this kind by its columns' names alone, where nobody names columns. */
    fitsColumns?(table: Table): boolean;
    /** Whether examples of these texts and labels, row by row, are of this kind. */
    fitsRows(texts: readonly Cell[], labels: readonly Cell[]): boolean;
    /** Labels of the task that a checkpoint's head was made for; undefined where that is none of this kind. */
    labelsOfHead(outputs: readonly string[], problemType: string | null | undefined): string[] | undefined;
  };

  /** Reads tables that hold more than a text, a pair and a label. */
  readonly table?: TableReading;
  /** The kind's own options, each with a description: flags and config keys are made of them; absent: it has none. */
  readonly options?: Options;
  /**
   * What a task's `options` become by those that were given; absent: those it has, and what was given.
   * @throws UserError where one of those given does not go with the examples or the model.
   */
  optionsFor?(given: z.output<Options>, task: TaskData, model: ModelSize): Record<string, unknown>;
  /** Options that were not given, by the outputs `[rows, outputs]` of heads that were fitted without the examples. */
  optionsOfFit?(logits: readonly Float32Array[]): TaskOptionValues;
  /** The same options once a model's outputs are divided by a temperature. */
  cooledOptions?(options: TaskOptionValues, temperature: number): TaskOptionValues;
  /** The objective that a task's options ask for; {@link objective} where absent. */
  objectiveFor?(options: TaskOptionValues): Objective;
  /** Of kinds that learn from answers that the model writes as it trains, each of which gets a reward. */
  readonly rollout?: {
    settings(options: TaskOptionValues): RolloutSettings;
    /** What a step learns from: of the answers to its prompts those that teach something, one at least. */
    examplesOf(prompts: readonly AnsweredPrompt[], options: TaskOptionValues): TrainingExample[];
  };
  /** What the user should know of the training examples. @param encoded those of them that are left to train on */
  notesOf?(examples: readonly Example[], encoded: readonly EncodedExample[], options: TaskOptionValues): string[];

  /** Number of the head's outputs. @param config of a model with the head; absent where there is none at hand */
  outputs(labels: readonly string[], config?: ModelConfig): number;
  /**
   * A column's labels, in their order; none where the kind has no classes.
   * @throws UserError where a cell holds no sound label, or there is nothing to learn.
   */
  labelsIn(table: Table, column: string): string[];
  /**
   * The columns that examples are made of, by the names that are given; absent: `text` and `label` where nothing is given.
   * @throws UserError where they cannot be told.
   */
  columnsIn?(table: Table, given: Partial<Columns>): Columns;
  /**
   * An example of a row.
   * @throws UserError where it has no text, no label, or one that is not among `labels`.
   */
  exampleOfRow(cells: ExampleCells, labels: readonly string[]): Omit<Example, "index">;
  /** An example to predict for. @throws UserError where the kind does not take such texts. */
  exampleOfInput(input: TextInput): Omit<Example, "index">;
  /** @param options of the task; none of a model that was not fine-tuned here */
  encode(example: Example, tokenizer: Tokenizer, maxLength: number, options?: TaskOptionValues): EncodedExample;
  /** Targets and weights of an example that has its label. @param classWeights `[labels]`; 1 each where absent */
  targets(
    example: Example,
    encoded: EncodedExample,
    labels: readonly string[],
    classWeights?: readonly number[],
  ): Targets;
  /** What a model says of an example, as its own label is written. @param logits `[rows, outputs]` @param options of the task */
  predict(
    labels: readonly string[],
    example: Example,
    encoded: EncodedExample,
    logits: Float32Array,
    options?: TaskOptionValues,
  ): Prediction;
  /** What people are shown. @param logits `[rows, outputs]` @param options of the task */
  describe(
    labels: readonly string[],
    example: Example,
    encoded: EncodedExample,
    logits: Float32Array,
    options?: TaskOptionValues,
  ): Output;
  /** The same in a line, without the text. */
  lineOf(output: Output): string;
  /** What `evaluate` shows beside the task's metrics. */
  detailsOf?(
    predictions: readonly Prediction[],
    examples: readonly Example[],
    labels: readonly string[],
  ): EvaluationDetails;
  /** Answers that need no text, each as if it were given for all examples: what a model must beat to have learned anything. */
  sameAnswers?(examples: readonly Example[], labels: readonly string[]): Prediction[];
  /** Of kinds that search: held-out examples as a search, which other ways of searching can be put to; undefined of those that are none. */
  searchIn?(examples: readonly Example[]): HeldOutSearch | undefined;
  /** Of kinds that tell what belongs together: how well that goes, for a report. */
  pairScoresOf?(predictions: readonly Prediction[], examples: readonly Example[]): PairScores;
  /** The text that a model reads, in order, parted by what counts for the loss: shown before training. */
  countedParts?(encoded: EncodedExample, tokenizer: Tokenizer): { text: string; counts: boolean }[];
  /** Answers that can be had without a model, by name, to be scored beside its own. */
  readonly baselines?: Readonly<Record<string, (text: string) => string>>;
  /** Whether answers are scored sentence by sentence, wherever their lines end. */
  readonly scoresSentences?: boolean;
  /** What `published` settings of methods call a task of this kind that has no name. */
  readonly publishedAs?: string;
  /** The class of which a held-out part gets its share; absent: examples are drawn alike. */
  stratumOf?(example: Example): number;
  /** The classes that an example counts for where rare ones are to weigh more; absent: there are none to weigh. */
  classesOf?(example: Example): readonly number[];
}
