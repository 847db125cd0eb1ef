import type { z } from "zod";
import type { Tensors } from "../graph/tensor.ts";
import type { Adapter } from "../model/adapter.ts";
import type { BaseModel } from "../model/base-model.ts";
import type { FittedAdapter } from "../model/fitted-adapter.ts";
import type { Runtime } from "../runtime/session.ts";
import type { Example } from "../tasks/example.ts";
import type { OnWriting } from "./output-folder.ts";

/** An adapter to write in a format of another tool. */
export interface ExportJob<Options = Record<string, unknown>> {
  /** Path of the folder to write into, empty. */
  folder: string;
  base: BaseModel;
  adapter: Adapter;
  fitted: FittedAdapter;
  /** The base model's, with the adapter folded in where the format merges. */
  weights: Tensors<"float32">;
  options: Options;
  runtime: Runtime;
  /** What to compare on, and the logits that the adapter's own model gives. */
  examples: readonly Example[];
  expected: readonly Float32Array[];
  onWriting?: OnWriting | undefined;
  /** Told that all is written: neither the base model's weights nor those above are read any more, and may be gone. */
  onWritten(): Promise<void>;
  /** Compares what was read back of the folder, a base model and an adapter, with the adapter's own model. */
  compare(base: BaseModel, adapter: Adapter): Promise<ExportAgreement>;
}

/** How near what was written is to the adapter's own model. */
export interface ExportAgreement {
  /** Largest difference of a logit. */
  largestDifference: number;
  /**
   * The same of a second model with weights in fewer bits, with the share of outputs whose likeliest label is the same. For embeddings:
   * the least cosine between the two vectors of a text.
   */
  quantized?: { dtype: string; largestDifference: number; sameLabel?: number; leastCosine?: number };
}

/** A format of another tool: one file each. */
export interface ExportFormat<Options extends z.ZodObject = z.ZodObject> {
  /** By which `--format` asks for it. */
  readonly name: string;
  /** What is written, in a line for `--help`. */
  readonly summary: string;
  /** The format's own options, each with a description: flags of `aflora export` are made of them. */
  readonly options: Options;
  /** What is written is one model, the adapter folded into its weights. */
  readonly merges?: true;
  /**
   * Writes the folder, reads it back as the other tool does, and compares.
   * @throws UserError where the format has no place for the model or the method.
   */
  write(job: ExportJob<z.output<Options>>): Promise<ExportAgreement>;
}

/** The largest difference of a logit; NaN where one is none. */
export function difference(expected: readonly Float32Array[], found: readonly Float32Array[]): number {
  // Of a pair where one is NaN, the difference is NaN, and so is the largest.
  return expected.reduce(
    (largest, row, i) => row.reduce((most, logit, j) => Math.max(most, Math.abs(logit - found[i]![j]!)), largest),
    0,
  );
}
