import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import type { z } from "zod";
import type { Value } from "../graph/graph.ts";
import type { Tensor, Tensors } from "../graph/tensor.ts";
import type { LinearModule } from "../models/model-parts.ts";
import type { FreezingCheck } from "./freezing/controller.ts";
import type { LowRank } from "./low-rank.ts";
import type { PeftTranslation } from "./peft.ts";
import type { PublishedSettings } from "./published.ts";

/** A parameter that a method puts beside the base model. */
export interface AdapterParameter {
  /** A module's name and the parameter's own: `encoder.layer.0.output.dense.A`. */
  name: string;
  shape: readonly number[];
  /** Makes its first values, at random or from the weight `[out, in]` of its layer, as the base model computes with it. */
  initialize(shape: readonly number[], random: RandomGenerator, weight: () => Tensor<"float32">): Tensor<"float32">;
  /** Whether it belongs to the base: its first values are made anew for each base that an adapter meets, and it never trains. */
  ofBase?: true;
  /** Whether AdamW's weight decay applies to it. */
  decays: boolean;
  /** Its learning rate over the method's; 1 where absent. */
  rateFactor?: number;
}

/**
 * Writes an adapted linear layer, `x [tokens, in]` → `[tokens, out]`.
 * @param parameter the graph's leaf for a parameter of the method
 * @param layer the layer of the base model, as it is
 */
export type Adapt = (
  parameter: (name: string) => Value,
  x: Value,
  layer: (input: Value) => Value,
  module: LinearModule,
) => Value;

/** A base model adapted by a method: what stands beside it, and how its layers' outputs change. */
export interface Adaptation {
  /** The layers that change; the model's others stay as they are. */
  readonly modules: readonly LinearModule[];
  readonly parameters: readonly AdapterParameter[];
  /** Names of the parameters that train, if only at first; the others get no gradient nodes at all. */
  readonly trainable: ReadonlySet<string>;
  /** Names of those of them that a schedule may freeze. */
  readonly freezable?: readonly string[];
  /** Whether the base model's own weights train too. */
  readonly trainsBackbone?: boolean;
  /** How the layers that change are written. */
  adapt?: Adapt;
  /** Dropout in training of what stands beside a layer reads; the layer itself reads all. None where absent. */
  readonly inputDropout?: number | undefined;
  /** A scalar that the loss gains, once a step. */
  penalty?(parameter: (name: string) => Value): Value | undefined;
  /**
   * What a layer has beside it as a LoRA; absent where it is none.
   * @throws UserError where it would be larger than the layer
   */
  asLora?(module: LinearModule, parameters: Tensors<"float32">): LowRank;
}

/** How long a run is, in optimizer steps. */
export interface RunLength {
  totalSteps: number;
  stepsPerEpoch: number;
}

/** What a schedule keeps between two steps: `scalars` is plain JSON, `tensors` can go into a safetensors file. */
export interface MethodState {
  scalars: object;
  tensors: Tensors<"float32">;
}

/** The blocks of a model, from the input side on, in which nothing changes any more. */
export interface FrozenBlocks {
  /** How many. */
  count: number;
  /** Names of what trained in them, or was read by them and trained. */
  parameters: ReadonlySet<string>;
}

/** What changes in the course of one run. */
export interface Schedule {
  /** What the user should know of it before training, such as that the run is too short for it. */
  readonly note?: string | undefined;
  /** Names of the parameters that train at the next step. */
  trainable(): ReadonlySet<string>;
  /** The blocks that are frozen at the next step; absent where none ever is. */
  frozenBlocks?(): FrozenBlocks;
  /** Share of the steps' work that frozen blocks leave on average, where that is known from the start. */
  readonly workLeft?: number | undefined;
  /**
   * Looks at one step's gradients (of the whole batch, not clipped) before the optimizer takes it. What freezes here
   * still gets this step's update.
   * @returns the check of the freezing schedule, where one was made
   */
  observe?(step: number, gradients: Tensors<"float32">, parameters: Tensors<"float32">): FreezingCheck | undefined;
  /** Changes parameters after the optimizer's step; `gradients` are the clipped ones. */
  afterStep?(step: number, gradients: Tensors<"float32">, parameters: Tensors<"float32">): void;
  /** Trainable parameters now, where that is not the number of elements that get a gradient. */
  countTrainable?(parameters: Tensors<"float32">): number;
  /** What to save between two steps beside the parameters; {@link MethodDefinition.schedule} takes it back. */
  state?(): MethodState;
}

/** A fine-tuning method: one file each. */
export interface MethodDefinition<Options extends z.ZodObject = z.ZodObject> {
  name: string;
  /** Other names by which the method may be asked for; runs and adapters are saved under `name`. */
  aliases?: readonly string[];
  /** One line for `--help`. */
  summary: string;
  /** Peak learning rates where nothing is known of the task. */
  recipe: {
    learningRate: number;
    headLearningRate: number;
    /** Where classes are learned by contrast, in few steps; as else where absent. */
    contrastLearningRate?: number;
    /** Of models of pictures, their heads' too; as else where absent. */
    pictureLearningRate?: number;
    /** Where training refines what the base model computes already; as else where absent. */
    refiningLearningRate?: number;
  };
  /** Whether nothing trains but the head. */
  headOnly?: true;
  published?: PublishedSettings;
  /** The method's own options, each with its default and a description: flags and config keys are made of them. */
  options: Options;
  /** Names of those of them that say what an adapter consists of and how it computes: who goes on from one keeps them. */
  shapeOptions?: readonly (keyof z.output<Options> & string)[];
  /**
   * Adapts a model that has the linear layers `modules`, in the order in which it uses them.
   * @throws UserError where options contradict each other or the model
   */
  adapt(options: z.output<Options>, modules: readonly LinearModule[]): Adaptation;
  /**
   * What changes in the course of a run; where absent, everything that is trainable trains to the end.
   * @param adaptation what `adapt` gave for the same options
   * @param state what {@link Schedule.state} gave, to go on from there
   * @throws UserError where the options do not fit the run's length, or the state does not fit the options
   */
  schedule?(options: z.output<Options>, adaptation: Adaptation, run: RunLength, state?: MethodState): Schedule;
  /** What Hugging Face PEFT knows the method as, beside the LoRA that {@link Adaptation.asLora} makes of it. */
  peft?: PeftTranslation<Options>;
}

export const namesOf = (parameters: readonly AdapterParameter[]): Set<string> =>
  new Set(parameters.map(({ name }) => name));
