import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import type { z } from "zod";
import type { LinearModule } from "../architectures/model-parts.ts";
import type { Value } from "../graph/graph.ts";
import type { Tensor, Tensors } from "../graph/tensor.ts";
import type { FreezingCheck } from "./freezing/controller.ts";
import type { LowRank } from "./low-rank.ts";
import type { PeftTranslation } from "./peft.ts";
import type { PublishedSettings } from "./published.ts";

/** A parameter that a method adds to the base model. */
export interface AdapterParameter {
  /** Name of the module, then of the parameter: `encoder.layer.0.output.dense.A`. */
  name: string;
  shape: readonly number[];
  /** Makes its initial values, at random or from the weight `[out, in]` of its layer, as the base model computes with it. */
  initialize(shape: readonly number[], random: RandomGenerator, weight: () => Tensor<"float32">): Tensor<"float32">;
  /** Whether it depends on the base: its values are computed for each base that an adapter is loaded on, and it never trains. */
  ofBase?: true;
  /** Whether AdamW's weight decay applies to it. */
  decays: boolean;
  /** Factor on the method's learning rate (default: 1). */
  rateFactor?: number;
}

/**
 * Writes an adapted linear layer, `x [tokens, in]` → `[tokens, out]`.
 * @param parameter returns the graph's leaf for a parameter of the method
 * @param layer the layer of the base model, unchanged
 */
export type Adapt = (
  parameter: (name: string) => Value,
  x: Value,
  layer: (input: Value) => Value,
  module: LinearModule,
) => Value;

/** A method's changes to a base model: the parameters that it adds, and the outputs of adapted layers. */
export interface Adaptation {
  /** The adapted layers; the model's other layers do not change. */
  readonly modules: readonly LinearModule[];
  readonly parameters: readonly AdapterParameter[];
  /** Names of the parameters that train at any time; the others get no gradient nodes. */
  readonly trainable: ReadonlySet<string>;
  /** Names of trainable parameters that a schedule may freeze. */
  readonly freezable?: readonly string[];
  /** Whether the base model's own weights also train. */
  readonly trainsBackbone?: boolean;
  /** Writes an adapted layer. */
  adapt?: Adapt;
  /** Dropout rate of the adapters' input in training (default: none); the layers' own input has no dropout. */
  readonly inputDropout?: number | undefined;
  /** Scalar that is added to the loss, once per step. */
  penalty?(parameter: (name: string) => Value): Value | undefined;
  /**
   * Converts a layer's adapter to a LoRA; undefined if the method has no such form.
   * @throws UserError if the LoRA would be larger than the layer
   */
  asLora?(module: LinearModule, parameters: Tensors<"float32">): LowRank;
}

/** Length of a run, in optimizer steps. */
export interface RunLength {
  totalSteps: number;
  stepsPerEpoch: number;
}

/** State of a schedule between two steps: `scalars` is plain JSON, `tensors` can go into a safetensors file. */
export interface MethodState {
  scalars: object;
  tensors: Tensors<"float32">;
}

/** Frozen blocks of a model, starting at the input. Nothing in them changes any more. */
export interface FrozenBlocks {
  /** Number of frozen blocks. */
  count: number;
  /** Names of the trainable parameters in these blocks, including those that the blocks read. */
  parameters: ReadonlySet<string>;
}

/** Controls what changes during one run. */
export interface Schedule {
  /** Note for the user before training, for example if the run is too short for the schedule. */
  readonly note?: string | undefined;
  /** Names of the parameters that train at the next step. */
  trainable(): ReadonlySet<string>;
  /** Blocks that are frozen at the next step; undefined if blocks never freeze. */
  frozenBlocks?(): FrozenBlocks;
  /** Mean share of a step's work that remains with frozen blocks; undefined if it is unknown in advance. */
  readonly workLeft?: number | undefined;
  /**
   * Observes one step's gradients (of the whole batch, not clipped) before the optimizer uses them. Parameters that freeze here
   * still get this step's update.
   * @returns the check of the freezing schedule, or undefined if none was due
   */
  observe?(step: number, gradients: Tensors<"float32">, parameters: Tensors<"float32">): FreezingCheck | undefined;
  /** Changes parameters after the optimizer's step; `gradients` are clipped. */
  afterStep?(step: number, gradients: Tensors<"float32">, parameters: Tensors<"float32">): void;
  /** Number of trainable parameters now, if it differs from the number of elements that get a gradient. */
  countTrainable?(parameters: Tensors<"float32">): number;
  /** State to save between two steps, without the parameters. {@link MethodDefinition.schedule} restores it. */
  state?(): MethodState;
}

/** The base model and data of a run, for the start of a method. */
export interface MethodStart {
  seed: number;
  /** Tells how many layers have their start. */
  onLayer?(done: number, total: number): void | Promise<void>;
  /**
   * Whether the gradients say much about the task: the head was fitted to the training examples, and the steps minimise the same loss. A new
   * head's gradients say little, and contrastive steps have another loss.
   */
  hasTellingGradients: boolean;
  /** Returns the weight `[out, in]` of a layer, as the base model computes with it. */
  weightOf(module: string): Tensor<"float32">;
  /**
   * Yields the gradients of the mean loss over some training examples with respect to the weights `[out, in]` of layers, over a base of
   * any format. Memory holds the gradients of a few blocks at a time.
   * @param examples number of examples, spread evenly over the training examples
   */
  gradients(
    modules: readonly LinearModule[],
    examples: number,
  ): AsyncIterable<{ module: LinearModule; gradient: Tensor<"float32"> }>;
  /**
   * Yields the products `Xᵀ X` `[in, in]` of the inputs X `[tokens, in]` of layers, summed over the tokens of some training examples. Memory
   * holds the products of a few blocks at a time.
   * @param examples number of examples, spread evenly over the training examples
   */
  inputs(
    modules: readonly LinearModule[],
    examples: number,
  ): AsyncIterable<{ module: LinearModule; products: Tensor<"float32"> }>;
}

/** A fine-tuning method: one file each. */
export interface MethodDefinition<Options extends z.ZodObject = z.ZodObject> {
  name: string;
  /** Other names of the method. Runs and adapters are saved under `name`. */
  aliases?: readonly string[];
  /** One line for `--help`. */
  summary: string;
  /** Default peak learning rates. */
  recipe: {
    learningRate: number;
    headLearningRate: number;
    /** For learning classes by contrast, in few steps (default: `learningRate`). */
    contrastLearningRate?: number;
    /** For picture models, including their heads (default: `learningRate`). */
    pictureLearningRate?: number;
    /** For training that refines what the base model computes already (default: `learningRate`). */
    refiningLearningRate?: number;
    /** For many texts and a fitted head, with a model of more than six blocks (default: `learningRate`). */
    largeLearningRate?: number;
  };
  /** Whether only the head trains. */
  headOnly?: true;
  published?: PublishedSettings;
  /** Options of the method, each with a default and a description, from which flags and config keys are made. */
  options: Options;
  /** Options that determine the adapter's parameters and how it computes. Training that starts from an adapter keeps them. */
  shapeOptions?: readonly (keyof z.output<Options> & string)[];
  /**
   * Adapts a model with the linear layers `modules`, in the order in which the model uses them.
   * @throws UserError if the options contradict each other or the model
   */
  adapt(options: z.output<Options>, modules: readonly LinearModule[]): Adaptation;
  /**
   * Computes first values of parameters from the base model and the data, after the head was fitted. They replace those of
   * {@link AdapterParameter.initialize}. The adapted model must still compute what the base model computes.
   * @param adaptation from `adapt`, with the same options
   */
  start?(options: z.output<Options>, adaptation: Adaptation, from: MethodStart): Promise<Tensors<"float32">>;
  /**
   * Makes the schedule of a run. Without it, everything that is trainable trains until the end.
   * @param adaptation from `adapt`, with the same options
   * @param state from {@link Schedule.state}, to resume from
   * @throws UserError if the options do not fit the run's length, or the state does not fit the options
   */
  schedule?(options: z.output<Options>, adaptation: Adaptation, run: RunLength, state?: MethodState): Schedule;
  /**
   * Mean share of the {@link Adaptation.freezable} elements that train, over a run and by the planned curve alone: rules that look at scores
   * may freeze sooner or later. Undefined if it depends on the run's length.
   */
  leftOnAverage?(options: z.output<Options>): number | undefined;
  /** The method's own format in Hugging Face PEFT, besides the LoRA of {@link Adaptation.asLora}. */
  peft?: PeftTranslation<Options>;
}

export const namesOf = (parameters: readonly AdapterParameter[]): Set<string> =>
  new Set(parameters.map(({ name }) => name));
