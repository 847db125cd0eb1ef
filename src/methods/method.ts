import type { z } from "zod";
import type { FreezingCheck } from "../freezing/controller.ts";
import type { Value } from "../graph/graph.ts";
import type { Tensors } from "../graph/tensor.ts";
import type { LinearSite } from "../models/architecture.ts";
import type { Initializer } from "./initializers.ts";

/** A parameter that a method puts beside the base model. */
export interface AdapterParameter {
  /** A module's name and the parameter's own: `encoder.layer.0.output.dense.A`. */
  name: string;
  shape: readonly number[];
  initialize: Initializer;
  /** Whether AdamW's weight decay applies to it. */
  decays: boolean;
}

/** Where a method is put to work. */
export interface MethodSetting {
  /** The model's linear layers in the order in which it uses them. */
  sites: readonly LinearSite[];
  /** Optimizer steps of the whole run. */
  totalSteps: number;
  stepsPerEpoch: number;
}

/** What a method keeps between two steps: `scalars` is plain JSON, `tensors` can go into a safetensors file. */
export interface MethodState {
  scalars: object;
  tensors: Tensors<"float32">;
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
  site: LinearSite,
) => Value;

/** A fine-tuning method at work: what stands beside the base, how a layer's output changes, what trains now. */
export interface Method {
  readonly parameters: readonly AdapterParameter[];
  /** Names of the parameters that a freezing schedule may freeze. */
  readonly freezable?: readonly string[];
  /** Whether the base model's own weights train too. */
  readonly trainsBackbone?: boolean;
  /** Names of the parameters that train at the next step; those left out get no gradient nodes at all. */
  trainable(): ReadonlySet<string>;
  /** How linear layers are written; every layer of the model is asked for. */
  adapt?: Adapt;
  /** A scalar that the loss gains, once a step. */
  penalty?(parameter: (name: string) => Value): Value | undefined;
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
  /** What to save between two steps beside the parameters; `create` takes it back. */
  state?(): MethodState;
}

/** A fine-tuning method: one file each. */
export interface MethodDefinition<Options extends z.ZodObject = z.ZodObject> {
  name: string;
  /** One line for `--help`. */
  summary: string;
  /** Peak learning rates where nothing is known of the task. */
  recipe: { learningRate: number; headLearningRate: number };
  /** The method's own options, each with its default and a description: flags and config keys are made of them. */
  options: Options;
  /**
   * @param state what {@link Method.state} gave, to go on from there
   * @throws UserError where options contradict each other or the model
   */
  create(options: z.output<Options>, setting: MethodSetting, state?: MethodState): Method;
}
