import type { z } from "zod";
import type { LinearModule } from "../architectures/model-parts.ts";
import type { Tensor, Tensors } from "../graph/tensor.ts";

/** A layer with its full name in the model, `bert.encoder.layer.0.output.dense`. */
export interface NamedLayer {
  module: LinearModule;
  moduleName: string;
}

/** An adapter in the format of one of PEFT's types. */
export interface PeftForm {
  /** Fields of the type in adapter_config.json, `peft_type` first. */
  config: { peft_type: string } & Record<string, unknown>;
  /** Tensors by name in the model: `bert.encoder.layer.0.output.dense.lora_A.weight`. */
  layers: Tensors<"float32">;
  /** Tensors that belong to no layer, such as `vera_A`. */
  shared?: Tensors<"float32">;
}

/** A layer of a PEFT adapter. */
export interface PeftLayer extends NamedLayer {
  /**
   * Returns one of its tensors, such as `lora_A`.
   * @throws UserError if it is missing or has another shape
   */
  tensor(part: string, shape: readonly number[]): Tensor<"float32">;
}

/** A PEFT adapter that is being read. */
export interface PeftAdapter {
  /** Location of the adapter, for error messages. */
  location: string;
  layers: readonly PeftLayer[];
  /**
   * Returns a tensor that belongs to no layer, or undefined if it is missing.
   * @throws UserError if it has another shape
   */
  shared(name: string, shape: readonly number[]): Tensor<"float32"> | undefined;
}

/** Reads one of PEFT's types. */
export interface PeftReading<Config extends z.ZodType = z.ZodType> {
  /** Its `peft_type`. */
  type: string;
  /** Schema of the type's fields in adapter_config.json. */
  config: Config;
  /** Names of a layer's tensors. */
  parts(config: z.output<Config>): readonly string[];
  /** Names of the tensors that belong to no layer. */
  shared?: readonly string[];
  /** Returns the method's options, except the layers, and its parameters. @throws UserError if something is missing. */
  read(
    config: z.output<Config>,
    adapter: PeftAdapter,
  ): { options: Record<string, unknown>; parameters: Tensors<"float32"> };
}

/** Converts a method's adapters to and from the formats of Hugging Face PEFT. */
export interface PeftTranslation<Options extends z.ZodObject = z.ZodObject> {
  /** Writes the method's own format; undefined if it has none for these options. */
  write?(
    options: z.output<Options>,
    layers: readonly NamedLayer[],
    parameters: Tensors<"float32">,
  ): PeftForm | undefined;
  read?: PeftReading;
}

/** Identity function that keeps the type of a reading's settings. */
export const peftReading = <Config extends z.ZodType>(reading: PeftReading<Config>): PeftReading<Config> => reading;
