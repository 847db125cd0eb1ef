import { z } from "zod";
import { UserError } from "../../errors.ts";
import type { Value } from "../../graph/graph.ts";
import { add, cast, gather, mul, relu, reshape, rmsNorm, sub, transpose } from "../../graph/ops.ts";
import { ACTIVATIONS, type Activation } from "../activation.ts";
import type { EncoderDecoderArchitecture } from "../architecture.ts";
import { attention, causalBias, maskBias } from "../attention.ts";
import { labelCountOf, parseConfig, rate } from "../config.ts";
import type { ForwardContext } from "../forward-context.ts";
import type { ModuleRole } from "../model-parts.ts";
import { relativeBucket } from "../relative-bucket.ts";
import type { Encoded, TokenStream } from "../streams/token-stream.ts";
import { embedWords, wordLogits } from "../words.ts";

const count = z.int().positive();
const schema = z.object({
  model_type: z.string(),
  vocab_size: count,
  d_model: count,
  d_kv: count,
  d_ff: count,
  num_layers: count,
  num_decoder_layers: count.nullish(),
  num_heads: count,
  relative_attention_num_buckets: z.int().min(4).default(32),
  relative_attention_max_distance: z.int().min(4).max(4096).default(128),
  dropout_rate: rate.default(0.1),
  layer_norm_epsilon: z.number().positive().default(1e-6),
  initializer_factor: z.number().default(1),
  feed_forward_proj: z.string().default("relu"),
  tie_word_embeddings: z.boolean().default(true),
  scale_decoder_outputs: z.boolean().optional(),
});

/** Maximum length. Positions are relative, so models have no limit; memory is exhausted earlier. */
const LONGEST = 2 ** 16;

function readConfig(raw: unknown) {
  const config = parseConfig(schema, raw);
  const { relative_attention_num_buckets: buckets, relative_attention_max_distance: farthest } = config;
  if (farthest <= buckets / 2) {
    throw new UserError(
      `config.json: "relative_attention_max_distance" is not supported: ${farthest} distances leave nothing to ${buckets} buckets`,
    );
  }
  // Version 1.1 has a separate output layer and no output scale; later Transformers write only the latter setting.
  const tied = config.tie_word_embeddings && config.scale_decoder_outputs !== false;
  return {
    modelType: config.model_type,
    vocabularySize: config.vocab_size,
    hiddenSize: config.d_model,
    layerCount: config.num_layers + (config.num_decoder_layers ?? config.num_layers),
    encoderLayers: config.num_layers,
    decoderLayers: config.num_decoder_layers ?? config.num_layers,
    intermediateSize: config.d_ff,
    heads: config.num_heads,
    headSize: config.d_kv,
    buckets,
    farthest,
    ...feedForwardOf(config.feed_forward_proj),
    normEpsilon: config.layer_norm_epsilon,
    dropout: config.dropout_rate,
    // The scale of the final hidden states before the output layer.
    outputScale: tied ? config.d_model ** -0.5 : undefined,
    maxLength: LONGEST,
    initializerRange: config.initializer_factor * config.d_model ** -0.5,
    tied,
    usesTokenTypes: false,
    labelCount: labelCountOf(raw),
  };
}

type T5Config = ReturnType<typeof readConfig>;

/**
 * T5 (Raffel et al., arXiv 1910.10683), its version 1.1, Flan-T5: root-mean-square norm before each part, unscaled
 * scores, a relative position bias that all blocks of a stack share; Hugging Face's `modeling_t5.py`. The decoder's
 * block indices follow the encoder's.
 */
export const t5: EncoderDecoderArchitecture<T5Config> = {
  kind: "encoder-decoder",
  modelTypes: { t5: "T5" },
  prefix: "transformer",
  besidePrefix: ["shared", "encoder", "decoder", "lm_head"],

  readConfig,

  encode: (context, config, tokens) => writeStack(context, config, tokens),
  decode: (context, config, tokens, encoded) => writeStack(context, config, tokens, encoded),

  heads: {
    languageModel(context, config, hidden) {
      const { outputScale } = config;
      return wordLogits(context, config, "shared", outputScale === undefined ? hidden : mul(hidden, outputScale));
    },
  },
};

function feedForwardOf(setting: string): { activation: Activation; gated: boolean } {
  const [, gate, name = ""] = /^(gated-)?(\w+)$/.exec(setting) ?? [];
  // The published gated-gelu uses the tanh approximation.
  const activation = gate && name === "gelu" ? "gelu_new" : name;
  if (Object.hasOwn(ACTIVATIONS, activation)) {
    return { activation: activation as Activation, gated: gate !== undefined };
  }
  throw new UserError(`config.json: "feed_forward_proj" is not supported: "${setting}"`);
}

function writeStack(context: ForwardContext, config: T5Config, tokens: TokenStream, encoded?: Encoded): Value {
  const { hiddenSize, intermediateSize, heads, headSize, dropout } = config;
  const side = encoded ? "decoder" : "encoder";
  const [layers, first] = encoded ? [config.decoderLayers, config.encoderLayers] : [config.encoderLayers, 0];
  const norm = (x: Value, name: string): Value =>
    rmsNorm(x, context.weight(`${name}.weight`, [hiddenSize]), config.normEpsilon);

  const own = add(positionBias(context, config, tokens, side), encoded ? causalBias(tokens) : maskBias(tokens));
  const other = encoded && maskBias(encoded.tokens);
  let x = context.dropout(embedWords(context, config, "shared", tokens.inputIds), dropout);
  for (let block = 0; block < layers; block++) {
    const prefix = `${side}.block.${block}.layer`;
    const part = (
      input: Value,
      place: number,
      role: ModuleRole,
      write: (x: Value, linear: (x: Value, name: string, outFeatures: number) => Value) => Value,
    ): Value => {
      const linear = (y: Value, name: string, outFeatures: number): Value => {
        const inFeatures = y.shape[1] as number;
        const module = { name: `${prefix}.${place}.${name}`, role, block: first + block, inFeatures, outFeatures };
        return context.linear(y, module, { bias: false });
      };
      return add(input, context.dropout(write(norm(input, `${prefix}.${place}.layer_norm`), linear), dropout));
    };
    const attend = (input: Value, place: number, name: string, seen?: Encoded): Value =>
      part(input, place, "attention", (y, linear) => {
        const keys = seen?.hidden ?? y;
        const [query, key, value] = [
          linear(y, `${name}.q`, heads * headSize),
          linear(keys, `${name}.k`, heads * headSize),
          linear(keys, `${name}.v`, heads * headSize),
        ];
        const options = { heads, bias: seen ? other! : own, dropout, scale: 1 };
        const streams = { queries: tokens, keys: seen?.tokens ?? tokens };
        return linear(attention(context, { query, key, value }, streams, options), `${name}.o`, hiddenSize);
      });
    x = context.block(x, (input) => {
      const looked = attend(input, 0, "SelfAttention");
      const both = encoded ? attend(looked, 1, "EncDecAttention", encoded) : looked;
      return part(both, encoded ? 2 : 1, "ffn", (y, linear) => {
        const wide = (name: string): Value => linear(y, `DenseReluDense.${name}`, intermediateSize);
        const activation = ACTIVATIONS[config.activation];
        const inner = config.gated ? mul(activation(wide("wi_0")), wide("wi_1")) : activation(wide("wi"));
        return linear(context.dropout(inner, dropout), "DenseReluDense.wo", hiddenSize);
      });
    });
  }
  return context.dropout(norm(x, `${side}.final_layer_norm`), dropout);
}

function positionBias(context: ForwardContext, config: T5Config, tokens: TokenStream, side: string): Value {
  const { buckets, farthest, heads } = config;
  const { positions, keyPositions, sequence, keys } = tokens;
  const [rows] = positions.shape;
  const distance = sub(reshape(keyPositions, [rows!, 1, keys]), reshape(positions, [rows!, sequence, 1]));
  // From 0 to twice `farthest`: all distances beyond share a bucket.
  const index = sub(relu(add(distance, farthest)), relu(sub(distance, farthest)));
  const numbers = Array.from({ length: 2 * farthest + 1 }, (_, i) =>
    relativeBucket(i - farthest, { buckets, farthest, bidirectional: side === "encoder" }),
  );
  const bucketOf = context.graph.constant(numbers, "int32", [numbers.length]);
  // The first block's table serves all blocks.
  const table = context.weight(`${side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight`, [
    buckets,
    heads,
  ]);
  return transpose(gather(table, gather(bucketOf, cast(index, "int32"))), [0, 3, 1, 2]);
}
