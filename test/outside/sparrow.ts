import { z } from "zod";
import {
  attention,
  causalBias,
  type DecoderArchitecture,
  type ForwardContext,
  labelCountOf,
  type ModelConfig,
  type ModuleRole,
  ops,
  parseConfig,
  type TokenStream,
  type Value,
} from "../../src/extend.ts";

interface SparrowConfig extends ModelConfig {
  vocabularySize: number;
  intermediateSize: number;
  heads: number;
  /** Fewer than the heads: each serves as many of theirs. */
  keyValueHeads: number;
  /** Features of a head; all heads together need not be as wide as the hidden states. */
  headSize: number;
  attentionDropout: number;
  epsilon: number;
  /** Base of the rotary positions' wavelengths. */
  theta: number;
}

const schema = z.object({
  model_type: z.string(),
  vocab_size: z.int().positive(),
  hidden_size: z.int().positive(),
  intermediate_size: z.int().positive(),
  num_hidden_layers: z.int().positive(),
  num_attention_heads: z.int().positive(),
  num_key_value_heads: z.int().positive(),
  head_dim: z.int().positive().multipleOf(2),
  attention_dropout: z.number().min(0).lt(1).default(0),
  max_position_embeddings: z.int().positive(),
  initializer_range: z.number().default(0.02),
  rms_norm_eps: z.number().default(1e-6),
  rope_theta: z.number().positive().default(10_000),
});

/** A made-up decoder as today's are: grouped heads, rotary positions, RMS normalisation, a gated feed-forward network. */
export const sparrow: DecoderArchitecture<SparrowConfig> = {
  kind: "decoder",
  modelTypes: { sparrow: "Sparrow" },
  prefix: "model",

  readConfig(raw) {
    const config = parseConfig(schema, raw);
    return {
      modelType: config.model_type,
      vocabularySize: config.vocab_size,
      hiddenSize: config.hidden_size,
      intermediateSize: config.intermediate_size,
      layerCount: config.num_hidden_layers,
      heads: config.num_attention_heads,
      keyValueHeads: config.num_key_value_heads,
      headSize: config.head_dim,
      attentionDropout: config.attention_dropout,
      maxLength: config.max_position_embeddings,
      initializerRange: config.initializer_range,
      epsilon: config.rms_norm_eps,
      theta: config.rope_theta,
      usesTokenTypes: false,
      labelCount: labelCountOf(raw),
    };
  },

  decode(context, config, tokens) {
    const words = context.weight("embed_tokens.weight", [config.vocabularySize, config.hiddenSize]);
    const bias = causalBias(tokens);
    let x = ops.gather(words, tokens.inputIds);
    for (let block = 0; block < config.layerCount; block++) {
      x = context.block(x, (input) => writeBlock(context, config, tokens, input, bias, block));
    }
    return norm(context, config, x, "norm");
  },

  heads: {
    // The last token has seen all others.
    sequence: (context, { hiddenSize }, hidden, outputs, tokens) =>
      context.dense(tokens.last(hidden), "score", hiddenSize, outputs, { bias: false }),
  },
};

/** `[tokens, hidden]` → the same. */
function writeBlock(
  context: ForwardContext,
  config: SparrowConfig,
  tokens: TokenStream,
  input: Value,
  bias: Value,
  block: number,
): Value {
  const { hiddenSize, intermediateSize, heads, keyValueHeads, headSize } = config;
  const prefix = `layers.${block}`;
  const linear = (x: Value, name: string, role: ModuleRole, outFeatures: number): Value => {
    const module = { name: `${prefix}.${name}`, role, block, inFeatures: x.shape[1] as number, outFeatures };
    return context.linear(x, module, { bias: false });
  };

  let x = norm(context, config, input, `${prefix}.input_layernorm`);
  const query = linear(x, "self_attn.q_proj", "attention", heads * headSize);
  const key = linear(x, "self_attn.k_proj", "attention", keyValueHeads * headSize);
  const value = linear(x, "self_attn.v_proj", "attention", keyValueHeads * headSize);
  const attended = attention(
    context,
    { query: rotate(config, tokens, query, heads), key: rotate(config, tokens, key, keyValueHeads), value },
    { queries: tokens },
    { heads, keyValueHeads, bias, dropout: config.attentionDropout },
  );
  const afterAttention = ops.add(input, linear(attended, "self_attn.o_proj", "attention", hiddenSize));

  x = norm(context, config, afterAttention, `${prefix}.post_attention_layernorm`);
  const gate = linear(x, "mlp.gate_proj", "ffn", intermediateSize);
  const inner = ops.mul(ops.mul(gate, ops.sigmoid(gate)), linear(x, "mlp.up_proj", "ffn", intermediateSize));
  return ops.add(afterAttention, linear(inner, "mlp.down_proj", "ffn", hiddenSize));
}

function norm(context: ForwardContext, { epsilon }: SparrowConfig, x: Value, name: string): Value {
  return ops.rmsNorm(x, context.weight(`${name}.weight`, x.shape.slice(-1)), epsilon);
}

/** Turns each head's pairs of features by an angle that grows with the position, `[tokens, heads*size]`. */
function rotate({ headSize, theta }: SparrowConfig, tokens: TokenStream, x: Value, heads: number): Value {
  const half = headSize / 2;
  const ofPositions = (name: string, ofAngle: (angle: number) => number): Value => {
    const table = tokens.table(name, {
      dtype: "float32",
      axes: ["position", half],
      value: (position, pair) => ofAngle(position! / theta ** (pair! / half)),
    });
    return ops.gather(table, tokens.positionIds);
  };
  return ops.rotate(x, ofPositions("cosine", Math.cos), ofPositions("sine", Math.sin), heads);
}
