import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { describeModel } from "../../src/architectures/families.ts";
import { UserError } from "../../src/errors.ts";

const fixture = (name: string) =>
  JSON.parse(readFileSync(new URL(`../fixtures/models/${name}/config.json`, import.meta.url), "utf8"));

describe("rejects by name settings that would change the results", () => {
  test.each([
    ["bert-1", { position_embedding_type: "relative_key" }],
    ["bert-1", { is_decoder: true }],
    ["bert-1", { hidden_act: "gelu_10" }],
    ["bert-1", { hidden_size: undefined }],
    ["roberta-1", { hidden_dropout_prob: 1 }],
    ["distilbert-1", { activation: "selu" }],
    ["electra-1", { embedding_size: 0 }],
    ["mpnet-1", { relative_attention_num_buckets: 2 }],
    ["deberta-v2-2", { conv_kernel_size: 5 }],
    ["deberta-v2-2", { conv_groups: 2 }],
    ["deberta-v2-1", { pos_att_type: "p2c|p2p" }],
    ["deberta-v2-1", { pooler_hidden_size: 8 }],
    ["deberta-v2-1", { attention_head_size: 8 }],
    ["modernbert-1", { rope_scaling: { type: "linear", factor: 2 } }],
    ["modernbert-1", { layer_types: ["full_attention"] }],
    ["modernbert-1", { classifier_pooling: "max" }],
    ["modernbert-1", { hidden_size: 34 }],
    ["bert-1", { num_hidden_layers: 1e9 }],
    ["bert-1", { hidden_size: 4e9, num_attention_heads: 1 }],
    ["llama-1", { hidden_size: 4e9 }],
    ["qwen3-1", { head_dim: 4e9 }],
    ["llama-1", { num_key_value_heads: 1e9 }],
    ["t5-1", { d_kv: 4e9 }],
    ["bert-1", { id2label: Object.fromEntries(Array.from({ length: 200_000 }, (_, i) => [i, "a"])) }],
    ["distilbert-1", { n_layers: 1e9 }],
    ["mistral-1", { sliding_window: 0 }],
    ["qwen2-2", { rope_parameters: { rope_type: "dynamic", factor: 2 } }],
    ["gemma2-1", { use_bidirectional_attention: true }],
    ["gemma3-1", { attn_logit_softcapping: 50 }],
    ["gpt2-1", { add_cross_attention: true }],
    ["gpt2-1", { n_layer: 1e9 }],
    ["bart-1", { tie_word_embeddings: false }],
    ["bart-1", { decoder_layers: 1e9 }],
    ["t5-1", { feed_forward_proj: "gated-selu" }],
    ["t5-1", { feed_forward_proj: "twice-gated-gelu" }],
    ["t5-1", { relative_attention_max_distance: 16 }],
    ["t5-1", { num_layers: 1e9 }],
  ])("%s with %o", (name, setting) => {
    const read = () => describeModel({ ...fixture(name), ...setting });
    expect(read).toThrow(UserError);
    expect(read).toThrow(new RegExp(`^config.json: "${Object.keys(setting)[0]}.*" is not supported: .`));
  });

  test.each([
    ["bert-1", "hidden_size"],
    ["distilbert-1", "dim"],
    ["deberta-v2-1", "hidden_size"],
  ])("%s with heads that do not divide the hidden size evenly", (name, setting) => {
    const uneven = { ...fixture(name), [setting]: 33, pooler_hidden_size: undefined };
    expect(() => describeModel(uneven)).toThrow(UserError);
    expect(() => describeModel(uneven)).toThrow(/hidden size of 33 cannot be shared by 2 attention heads/);
  });

  test("too few layer types", () => {
    const read = () => describeModel({ ...fixture("gemma2-2"), layer_types: ["full_attention"] });
    expect(read).toThrow(UserError);
    expect(read).toThrow(/"layer_types" names 1 layers, but there are 2/);
  });

  test("reports an unknown family, listing the known ones", () => {
    expect(() => describeModel({ model_type: "modernbertt" })).toThrow(
      /config.json: unknown model_type "modernbertt".*modernbert.*\(model_types: bert, roberta, .*deberta-v2, modernbert, llama, mistral, .*gpt2/,
    );
  });
});
