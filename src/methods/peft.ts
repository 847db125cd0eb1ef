import type { z } from "zod";
import type { Tensor, Tensors } from "../graph/tensor.ts";
import type { LinearModule } from "../models/model-parts.ts";

/** A layer under its whole name in the model, `bert.encoder.layer.0.output.dense`. */
export interface NamedLayer {
  module: LinearModule;
  moduleName: string;
}

/** An adapter in the form of one of PEFT's types, to be written. */
export interface PeftForm {
  /** What adapter_config.json says of the type, `peft_type` first. */
  config: { peft_type: string } & Record<string, unknown>;
  /** By name in the model: `bert.encoder.layer.0.output.dense.lora_A.weight`. */
  layers: Tensors<"float32">;
  /** What belongs to no layer: `vera_A`. */
  shared?: Tensors<"float32">;
}

/** A layer of an adapter that PEFT wrote. */
export interface PeftLayer extends NamedLayer {
  /**
   * One of its tensors, such as `lora_A`.
   * @throws UserError where it is missing or has another shape
   */
  tensor(part: string, shape: readonly number[]): Tensor<"float32">;
}

/** An adapter that PEFT wrote. */
export interface PeftAdapter {
  /** Where it comes from, for error messages. */
  location: string;
  layers: readonly PeftLayer[];
  /**
   * A tensor that belongs to no layer; undefined where it is missing.
   * @throws UserError where it has another shape
   */
  shared(name: string, shape: readonly number[]): Tensor<"float32"> | undefined;
}

/** Reads one of PEFT's types. */
export interface PeftReading<Config extends z.ZodType = z.ZodType> {
  /** Its `peft_type`. */
  type: string;
  /** What must stand in adapter_config.json. */
  config: Config;
  /** Names of a layer's tensors. */
  parts(config: z.output<Config>): readonly string[];
  /** Names of the tensors that belong to no layer. */
  shared?: readonly string[];
  /** The method's options, but for the layers, and its parameters. @throws UserError where something is missing. */
  read(
    config: z.output<Config>,
    adapter: PeftAdapter,
  ): { options: Record<string, unknown>; parameters: Tensors<"float32"> };
}

/** How a method's adapters are exchanged with Hugging Face PEFT. */
export interface PeftTranslation<Options extends z.ZodObject = z.ZodObject> {
  /** A form of the method's own; undefined where these options have none. */
  write?(
    options: z.output<Options>,
    layers: readonly NamedLayer[],
    parameters: Tensors<"float32">,
  ): PeftForm | undefined;
  read?: PeftReading;
}

/** Keeps the type of a reading's settings. */
export const peftReading = <Config extends z.ZodType>(reading: PeftReading<Config>): PeftReading<Config> => reading;
