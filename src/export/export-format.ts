import type { z } from "zod";
import type { Adapter } from "../base-models/adapter.ts";
import type { BaseModel } from "../base-models/base-model.ts";
import type { FittedAdapter } from "../base-models/fitted-adapter.ts";
import type { Tensors } from "../graph/tensor.ts";
import type { Runtime } from "../runtime/session.ts";
import type { Example } from "../tasks/example.ts";

/** An adapter to write in another tool's format. */
export interface ExportJob<Options = Record<string, unknown>> {
  /** Path of the empty folder to write. */
  folder: string;
  base: BaseModel;
  adapter: Adapter;
  fitted: FittedAdapter;
  /** The base model's weights; with the adapter merged, if the format merges. */
  weights: Tensors<"float32">;
  options: Options;
  runtime: Runtime;
  /** Examples to compare on, and the logits of the adapter's own model for them. */
  examples: readonly Example[];
  expected: readonly Float32Array[];
  onWriting?: ((done: number, of: number) => void) | undefined;
  /** Called after everything is written. The base model's weights and those above are not read any more, and may be freed. */
  onWritten(): Promise<void>;
  /** Compares a base model and adapter that were read from the folder with the adapter's own model. */
  compare(base: BaseModel, adapter: Adapter): Promise<ExportAgreement>;
}

/** Agreement of the written model with the adapter's own model. */
export interface ExportAgreement {
  /** Largest difference of a logit. */
  largestDifference: number;
  /**
   * The same for a quantized second model, with the share of outputs with the same likeliest label. For embeddings: the smallest
   * cosine between vectors of the same text.
   */
  quantized?: { dtype: string; largestDifference: number; sameLabel?: number; leastCosine?: number };
}

/** A format of another tool; one file each. */
export interface ExportFormat<Options extends z.ZodObject = z.ZodObject> {
  /** Name for `--format`. */
  readonly name: string;
  /** The written files, in one line for `--help`. */
  readonly summary: string;
  /** Library that loads the folder, by its name on the hub, as the folder's README.md shows (default: none, so that `push` refuses the format). */
  readonly library?: string;
  /** Options of the format, each with a description. They become flags of `aflora export`. */
  readonly options: Options;
  /** Whether the format writes one model, with the adapter merged into its weights. */
  readonly merges?: true;
  /**
   * Writes the folder, reads it as the other tool does, and compares.
   * @throws UserError if the format cannot hold the model or the method
   */
  write(job: ExportJob<z.output<Options>>): Promise<ExportAgreement>;
}

export function difference(expected: readonly Float32Array[], found: readonly Float32Array[]): number {
  // Math.max returns NaN if a difference is NaN.
  return expected.reduce(
    (largest, row, i) => row.reduce((most, logit, j) => Math.max(most, Math.abs(logit - found[i]![j]!)), largest),
    0,
  );
}
