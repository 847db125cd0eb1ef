import type { Tensors } from "../graph/tensor.ts";
import type { Adapter } from "../inference/adapter.ts";
import type { BaseModel } from "../inference/base-model.ts";
import { FineTunedModel } from "../inference/fine-tuned-model.ts";
import type { FittedAdapter } from "../inference/fitted-adapter.ts";
import type { Runtime } from "../runtime/session.ts";
import type { Example } from "../tasks/example.ts";
import type { PeftFormName } from "./peft/write.ts";
import type { OnnxQuantization } from "./quantize-onnx.ts";

/** What a format may be asked for. */
export interface FormatOptions {
  /** `onnx`: write the model with weights in 8 or 4 bits, too. */
  dtype?: "float32" | OnnxQuantization | undefined;
  /** `peft`: write an adapter that PEFT has a form of its own for, such as AdaLoRA's, as an ordinary LoRA. */
  as?: PeftFormName | undefined;
}

/** An adapter to write in a format of another tool. */
export interface ExportJob {
  /** Folder to write into, empty. */
  folder: string;
  base: BaseModel;
  adapter: Adapter;
  fitted: FittedAdapter;
  /** The base model's, with the adapter folded in where the format merges. */
  weights: Tensors<"float32">;
  options: FormatOptions;
  runtime: Runtime;
  /** What to compare on, and the logits that the adapter's own model gives. */
  examples: readonly Example[];
  expected: readonly Float32Array[];
}

/** How near what was written is to the adapter's own model. */
export interface ExportAgreement {
  /** Largest difference of a logit. */
  largestDifference: number;
  /** How the model with weights in 8 bits does, or that in 4. */
  q8?: QuantizedAgreement;
  q4?: QuantizedAgreement;
}

/**
 * Of a model with weights in fewer bits the largest difference, and the share of outputs whose likeliest label is the same; of
 * embeddings, the least cosine of a text's vectors.
 */
export interface QuantizedAgreement {
  largestDifference: number;
  sameLabel?: number;
  leastCosine?: number;
}

/** A format of another tool. */
export interface ExportFormatDefinition {
  /** What is written is one model, the adapter folded into its weights. */
  readonly merges?: true;
  /** Those of the options that it has. */
  readonly options?: readonly (keyof FormatOptions)[];
  /**
   * Writes the folder, reads it back as the other tool does, and compares.
   * @throws UserError where the format has no place for the model or the method.
   */
  write(job: ExportJob): Promise<ExportAgreement>;
}

/** Logits of a base model with an adapter. */
export async function logitsOf(
  base: BaseModel,
  adapter: Adapter,
  { runtime, examples }: Pick<ExportJob, "runtime" | "examples">,
): Promise<Float32Array[]> {
  const model = await FineTunedModel.adapt(base, adapter, runtime);
  try {
    return await model.logits(examples);
  } finally {
    await model.release();
  }
}

/** The largest difference of a logit; NaN where one is none. */
export function difference(expected: readonly Float32Array[], found: readonly Float32Array[]): number {
  // Of a pair where one is NaN, the difference is NaN, and so is the largest.
  return expected.reduce(
    (largest, row, i) => row.reduce((most, logit, j) => Math.max(most, Math.abs(logit - found[i]![j]!)), largest),
    0,
  );
}
