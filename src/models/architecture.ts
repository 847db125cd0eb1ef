import type { Shape } from "../graph/dimension.ts";
import type { Value } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { ForwardContext } from "./forward-context.ts";

/** A family of models: one file each, chosen by `model_type` of config.json. */
export interface Architecture<Config extends ModelConfig = ModelConfig> {
  /** Values of `model_type` that this family answers to. */
  modelTypes: readonly string[];
  /** What its weights' names begin with in checkpoints of task models: `bert` in `bert.encoder.…`. */
  prefix: string;
  /** @throws UserError where config.json has a setting that is missing, malformed or not supported. */
  readConfig(raw: unknown): Config;
  /** Final hidden states, `[batch*sequence, hidden]` with the rows of one position together (sequence-major). */
  backbone(context: ForwardContext, config: Config, inputs: ModelInputs): Value;
  /** `[batch, labels]` from the hidden states, as the family's `…ForSequenceClassification`. */
  sequenceHead(context: ForwardContext, config: Config, hidden: Value, labelCount: number): Value;
  /** `[batch*sequence, labels]` from the hidden states, as the family's `…ForTokenClassification`. */
  tokenHead(context: ForwardContext, config: Config, hidden: Value, labelCount: number): Value;
  /** Inputs that depend on nothing but the padded length, such as relative positions, by leaf name. */
  lengthInputs?(config: Config, sequence: number): Record<string, LengthInput>;
}

/** What a head labels: the whole text, or each of its tokens. */
export type HeadKind = "sequence" | "token";

export type LengthInput = Tensor<"float32"> | Tensor<"int32">;

/** What every family's configuration has. */
export interface ModelConfig {
  modelType: string;
  hiddenSize: number;
  /** Attention heads of a block; they share the hidden size evenly. */
  heads: number;
  layerCount: number;
  /** Most tokens of one example, special tokens included. */
  maxLength: number;
  /** Standard deviation of newly made weights. */
  initializerRange: number;
  /** Whether the second text of a pair is told by token types. */
  usesTokenTypes: boolean;
  /** Number of labels that the checkpoint's own head has. */
  labelCount: number;
}

/** Leaves that every model reads. */
export interface ModelInputs {
  /** `[sequence, batch]` int32 */
  inputIds: Value;
  /** `[sequence, batch]` int32 */
  tokenTypeIds: Value;
  /** `[batch, sequence]`, 1 at real tokens and 0 at padding. */
  attentionMask: Value;
}

/** Whether a linear layer belongs to a block's attention or to its feed-forward network: methods treat them apart. */
export type SiteRole = "attention" | "ffn";

/** A linear layer that methods may adapt. */
export interface LinearSite {
  /** Its module in Hugging Face's names, without the family's prefix: `encoder.layer.0.attention.self.query`. */
  name: string;
  role: SiteRole;
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
}
