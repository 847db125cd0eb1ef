import type { Shape } from "../graph/dimension.ts";

/** Whether a linear layer belongs to a block's attention or to its feed-forward network: methods treat them apart. */
export type ModuleRole = "attention" | "ffn";

/** A linear layer that methods may adapt. */
export interface LinearModule {
  /** Its module in Hugging Face's names, without the family's prefix: `encoder.layer.0.attention.self.query`. */
  name: string;
  role: ModuleRole;
  /** Index of its block, from 0. */
  block: number;
  inFeatures: number;
  outFeatures: number;
}

/** A weight that a model reads. */
export interface WeightSpec {
  /** Without the family's prefix. */
  name: string;
  shape: Shape;
  part: "backbone" | "head";
  /**
   * Set where it is read as the matrix of a linear layer, or as a table of words, and not else: a base may store it otherwise.
   * A table of words may be multiplied with, too.
   */
  use?: "linear" | "table";
  /** Set where it is no parameter of the model: it never trains, and a checkpoint may lack it, where it is zeros. */
  buffer?: true;
  /** Set where checkpoints hold it transposed, as GPT-2's do with linear layers: `[in, out]` for our `[out, in]`. */
  transposed?: true;
}

/** How many samples of sound make tokens: `tokens × hop + rest`. */
export interface SoundWindows {
  hop: number;
  rest: number;
}

/** A picture as a model reads it, in pixels. */
export interface PictureSize {
  height: number;
  width: number;
}
