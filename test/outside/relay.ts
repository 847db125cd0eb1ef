import { z } from "zod";
import {
  attention,
  causalBias,
  type EncoderDecoderArchitecture,
  type ForwardContext,
  type KeyStream,
  labelCountOf,
  type ModelConfig,
  maskBias,
  ops,
  parseConfig,
  type TokenStream,
  type Value,
} from "../../src/extend.ts";

interface RelayConfig extends ModelConfig {
  vocabularySize: number;
  intermediateSize: number;
  heads: number;
  keyValueHeads: number;
  headSize: number;
  attentionDropout: number;
}

const schema = z.object({
  model_type: z.string(),
  vocab_size: z.int().positive(),
  d_model: z.int().positive(),
  ffn_dim: z.int().positive(),
  layers: z.int().positive(),
  attention_heads: z.int().positive(),
  key_value_heads: z.int().positive(),
  head_dim: z.int().positive(),
  attention_dropout: z.number().min(0).lt(1).default(0),
  max_position_embeddings: z.int().positive(),
  init_std: z.number().default(0.02),
});

/** A made-up encoder-decoder: both read the same words; each block of the decoder looks at its own text, then at the other. */
export const relay: EncoderDecoderArchitecture<RelayConfig> = {
  kind: "encoder-decoder",
  modelTypes: { relay: "Relay" },
  prefix: "model",

  readConfig(raw) {
    const config = parseConfig(schema, raw);
    return {
      modelType: config.model_type,
      vocabularySize: config.vocab_size,
      hiddenSize: config.d_model,
      intermediateSize: config.ffn_dim,
      layerCount: config.layers,
      heads: config.attention_heads,
      keyValueHeads: config.key_value_heads,
      headSize: config.head_dim,
      attentionDropout: config.attention_dropout,
      maxLength: config.max_position_embeddings,
      initializerRange: config.init_std,
      usesTokenTypes: false,
      labelCount: labelCountOf(raw),
    };
  },

  encode(context, config, tokens) {
    let x = embed(context, config, tokens, "encoder");
    for (let block = 0; block < config.layerCount; block++) {
      const part = new BlockPart(context, config, block, `encoder.layers.${block}`);
      x = part.attend("self_attn", x, tokens, x, tokens, maskBias(tokens));
      x = part.feedForward(x);
    }
    return x;
  },

  decode(context, config, tokens, encoded) {
    let x = embed(context, config, tokens, "decoder");
    for (let block = 0; block < config.layerCount; block++) {
      const part = new BlockPart(context, config, config.layerCount + block, `decoder.layers.${block}`);
      x = part.attend("self_attn", x, tokens, x, tokens, causalBias(tokens));
      x = part.attend("encoder_attn", x, tokens, encoded.hidden, encoded.tokens, maskBias(encoded.tokens));
      x = part.feedForward(x);
    }
    return x;
  },

  heads: {
    sequence: (context, { hiddenSize }, hidden, outputs, tokens) =>
      context.dense(tokens.last(hidden), "score", hiddenSize, outputs),
    token: (context, { hiddenSize }, hidden, outputs) => context.dense(hidden, "score", hiddenSize, outputs),
  },
};

/** Words and positions, `[tokens, hidden]`. */
function embed(context: ForwardContext, config: RelayConfig, tokens: TokenStream, side: string): Value {
  const words = context.weight("shared.weight", [config.vocabularySize, config.hiddenSize]);
  const positions = context.weight(`${side}.embed_positions.weight`, [config.maxLength, config.hiddenSize]);
  return ops.add(ops.gather(words, tokens.inputIds), ops.gather(positions, tokens.positionIds));
}

/** Writes the parts of a block, each with its residual: `[tokens, hidden]` → the same. */
class BlockPart {
  readonly #context: ForwardContext;
  readonly #config: RelayConfig;
  readonly #block: number;
  readonly #prefix: string;

  constructor(context: ForwardContext, config: RelayConfig, block: number, prefix: string) {
    this.#context = context;
    this.#config = config;
    this.#block = block;
    this.#prefix = prefix;
  }

  attend(name: string, x: Value, queries: TokenStream, seen: Value, keys: KeyStream, bias: Value): Value {
    const { hiddenSize, heads, keyValueHeads, headSize, attentionDropout } = this.#config;
    const linear = (input: Value, layer: string, outFeatures: number): Value =>
      this.#linear(input, `${name}.${layer}`, "attention", outFeatures);
    const attended = attention(
      this.#context,
      {
        query: linear(x, "q_proj", heads * headSize),
        key: linear(seen, "k_proj", keyValueHeads * headSize),
        value: linear(seen, "v_proj", keyValueHeads * headSize),
      },
      { queries, keys },
      { heads, keyValueHeads, bias, dropout: attentionDropout },
    );
    return ops.add(x, linear(attended, "out_proj", hiddenSize));
  }

  feedForward(x: Value): Value {
    const inner = ops.tanh(this.#linear(x, "fc1", "ffn", this.#config.intermediateSize));
    return ops.add(x, this.#linear(inner, "fc2", "ffn", this.#config.hiddenSize));
  }

  #linear(x: Value, name: string, role: "attention" | "ffn", outFeatures: number): Value {
    const inFeatures = x.shape[1] as number;
    const module = { name: `${this.#prefix}.${name}`, role, block: this.#block, inFeatures, outFeatures };
    return this.#context.linear(x, module);
  }
}
