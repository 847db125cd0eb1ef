import { z } from "zod";
import type { Value } from "../../graph/graph.ts";
import { add, gather, mul } from "../../graph/ops.ts";
import { ACTIVATION_NAMES, ACTIVATIONS } from "../activation.ts";
import type { EncoderDecoderArchitecture } from "../architecture.ts";
import { attention, causalBias, maskBias } from "../attention.ts";
import { evenHeads, labelCountOf, parseConfig, rate } from "../config.ts";
import type { ForwardContext } from "../forward-context.ts";
import type { ModuleRole } from "../model-parts.ts";
import type { KeyStream, TokenStream } from "../streams/token-stream.ts";

const count = z.int().positive();
const schema = z.object({
  model_type: z.string(),
  vocab_size: count,
  d_model: count,
  encoder_layers: count,
  decoder_layers: count,
  encoder_attention_heads: count,
  decoder_attention_heads: count,
  encoder_ffn_dim: count,
  decoder_ffn_dim: count,
  max_position_embeddings: count.default(1024),
  activation_function: z.enum(ACTIVATION_NAMES).default("gelu"),
  dropout: rate.default(0.1),
  attention_dropout: rate.default(0),
  activation_dropout: rate.default(0),
  init_std: z.number().default(0.02),
  scale_embedding: z.boolean().default(false),
  tie_word_embeddings: z.literal(true).default(true),
});

const FIRST_POSITION = 2;
const NORM_EPSILON = 1e-5;

function readConfig(raw: unknown) {
  const config = parseConfig(schema, raw);
  const stack = (side: "encoder" | "decoder") => ({
    layerCount: config[`${side}_layers`],
    heads: evenHeads(config.d_model, config[`${side}_attention_heads`]),
    intermediateSize: config[`${side}_ffn_dim`],
  });
  return {
    modelType: config.model_type,
    vocabularySize: config.vocab_size,
    hiddenSize: config.d_model,
    layerCount: config.encoder_layers + config.decoder_layers,
    encoder: stack("encoder"),
    decoder: stack("decoder"),
    activation: config.activation_function,
    embeddingScale: config.scale_embedding ? Math.sqrt(config.d_model) : 1,
    // A block's parts are normalised before, and each stack once more at its end.
    normBefore: config.model_type === "mbart",
    maxLength: config.max_position_embeddings,
    initializerRange: config.init_std,
    dropout: config.dropout,
    attentionDropout: config.attention_dropout,
    activationDropout: config.activation_dropout,
    usesTokenTypes: false,
    labelCount: labelCountOf(raw),
  };
}

type BartConfig = ReturnType<typeof readConfig>;
type Stack = BartConfig["encoder"];

/**
 * BART (Lewis et al., arXiv 1910.13461), DistilBART, and mBART (arXiv 2001.08210), which normalises before; Hugging
 * Face's `modeling_bart.py` and `modeling_mbart.py`. The decoder's block indices follow the encoder's.
 */
export const bart: EncoderDecoderArchitecture<BartConfig> = {
  kind: "encoder-decoder",
  modelTypes: { bart: "Bart", mbart: "MBart" },
  prefix: "model",
  besidePrefix: ["final_logits_bias"],

  readConfig,

  encode(context, config, tokens) {
    let x = embed(context, config, tokens, "encoder");
    const bias = maskBias(tokens);
    for (let block = 0; block < config.encoder.layerCount; block++) {
      const part = new BlockPart(context, config, config.encoder, block, `encoder.layers.${block}`);
      x = context.block(x, (input) =>
        part.feedForward(part.attend("self_attn", input, tokens, (seen) => ({ seen, keys: tokens }), bias)),
      );
    }
    return lastNorm(context, config, x, "encoder");
  },

  decode(context, config, tokens, encoded) {
    let x = embed(context, config, tokens, "decoder");
    const own = causalBias(tokens);
    const other = maskBias(encoded.tokens);
    const read = { seen: encoded.hidden, keys: encoded.tokens };
    for (let block = 0; block < config.decoder.layerCount; block++) {
      const number = config.encoder.layerCount + block;
      const part = new BlockPart(context, config, config.decoder, number, `decoder.layers.${block}`);
      x = context.block(x, (input) => {
        const written = part.attend("self_attn", input, tokens, (seen) => ({ seen, keys: tokens }), own);
        return part.feedForward(part.attend("encoder_attn", written, tokens, () => read, other));
      });
    }
    return lastNorm(context, config, x, "decoder");
  },

  heads: {
    languageModel(context, { vocabularySize }, hidden) {
      const bias = context.buffer("final_logits_bias", [1, vocabularySize]);
      return context.unembed(hidden, "shared", vocabularySize, { bias });
    },
  },
};

function embed(context: ForwardContext, config: BartConfig, tokens: TokenStream, side: string): Value {
  const words = context.lookup("shared", [config.vocabularySize, config.hiddenSize], tokens.inputIds);
  const rows = context.weight(`${side}.embed_positions.weight`, [FIRST_POSITION + config.maxLength, config.hiddenSize]);
  const positions = gather(rows, add(tokens.positionIds, context.graph.constant([FIRST_POSITION], "int32")));
  const sum = add(config.embeddingScale === 1 ? words : mul(words, config.embeddingScale), positions);
  return context.dropout(context.layerNorm(sum, `${side}.layernorm_embedding`, NORM_EPSILON), config.dropout);
}

const lastNorm = (context: ForwardContext, { normBefore }: BartConfig, x: Value, side: string): Value =>
  normBefore ? context.layerNorm(x, `${side}.layer_norm`, NORM_EPSILON) : x;

/** Input of an attention's keys: rows, and the texts to which they belong. */
interface Seen {
  seen: Value;
  keys: KeyStream;
}

class BlockPart {
  constructor(
    private readonly context: ForwardContext,
    private readonly config: BartConfig,
    private readonly stack: Stack,
    private readonly block: number,
    private readonly prefix: string,
  ) {}

  attend(name: string, x: Value, queries: TokenStream, seenBy: (own: Value) => Seen, bias: Value): Value {
    const { hiddenSize, attentionDropout } = this.config;
    const linear = (input: Value, layer: string): Value =>
      this.#linear(input, `${name}.${layer}`, "attention", hiddenSize);
    return this.#residual(x, name, (own) => {
      const { seen, keys } = seenBy(own);
      const query = linear(own, "q_proj");
      const [key, value] = [linear(seen, "k_proj"), linear(seen, "v_proj")];
      const options = { heads: this.stack.heads, bias, dropout: attentionDropout };
      return linear(attention(this.context, { query, key, value }, { queries, keys }, options), "out_proj");
    });
  }

  feedForward(x: Value): Value {
    const { activation, activationDropout, hiddenSize } = this.config;
    return this.#residual(x, "final", (own) => {
      const inner = ACTIVATIONS[activation](this.#linear(own, "fc1", "ffn", this.stack.intermediateSize));
      return this.#linear(this.context.dropout(inner, activationDropout), "fc2", "ffn", hiddenSize);
    });
  }

  #residual(x: Value, name: string, write: (input: Value) => Value): Value {
    const { dropout, normBefore } = this.config;
    const norm = (y: Value): Value => this.context.layerNorm(y, `${this.prefix}.${name}_layer_norm`, NORM_EPSILON);
    const added = (y: Value): Value => add(x, this.context.dropout(y, dropout));
    return normBefore ? added(write(norm(x))) : norm(added(write(x)));
  }

  #linear(x: Value, name: string, role: ModuleRole, outFeatures: number): Value {
    const inFeatures = x.shape[1] as number;
    const module = { name: `${this.prefix}.${name}`, role, block: this.block, inFeatures, outFeatures };
    return this.context.linear(x, module);
  }
}
