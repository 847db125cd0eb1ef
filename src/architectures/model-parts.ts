import type { Shape } from "../graph/dimension.ts";

/** Part of a block to which a linear layer belongs: attention or the feed-forward network. Methods distinguish them. */
export type ModuleRole = "attention" | "ffn";

/** A linear layer that methods may adapt. */
export interface LinearModule {
  /** Hugging Face's module name, without the family's prefix: `encoder.layer.0.attention.self.query`. */
  name: string;
  role: ModuleRole;
  /** Index of its block, from 0. */
  block: number;
  inFeatures: number;
  outFeatures: number;
}

/** A weight that a model reads. */
export interface WeightSpec {
  /** Name without the family's prefix. */
  name: string;
  shape: Shape;
  part: "backbone" | "head";
  /**
   * Set if the weight is only read as the matrix of a linear layer, or as token embeddings: a base may then store it in
   * another format. Products may also read token embeddings.
   */
  use?: "linear" | "table";
  /** Set if the weight is not a parameter: it never trains, and is zero if a checkpoint lacks it. */
  buffer?: true;
  /** Set if checkpoints store it transposed, as GPT-2's do with linear layers: `[in, out]` instead of `[out, in]`. */
  transposed?: true;
}

/** Number of sound samples by number of tokens: `tokens × hop + rest`. */
export interface SoundWindows {
  hop: number;
  rest: number;
}

/** Size of a model's pictures, in pixels. */
export interface PictureSize {
  height: number;
  width: number;
}
