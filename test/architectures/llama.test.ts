import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { describeModel } from "../../src/architectures/families.ts";
import { traceModel } from "../../src/architectures/trace.ts";
import { UserError } from "../../src/errors.ts";
import type { Shape } from "../../src/graph/dimension.ts";
import { aflora } from "../../src/methods/aflora.ts";
import { lora } from "../../src/methods/lora.ts";
import { selectModules } from "../../src/methods/target-modules.ts";

const rawConfig = JSON.parse(readFileSync(new URL("../../studies/paper/llama-7b.json", import.meta.url), "utf8"));
const size = (shape: Shape): number => (shape as number[]).reduce((product, d) => product * d, 1);

describe("LLaMA-7B from its config.json alone (the paper's table 2)", () => {
  const description = describeModel(rawConfig);
  const { modules, weights, classifier } = traceModel(description, description.config.vocabularySize, "languageModel");

  test("has 6,738,415,616 weights, including the output layer, and no task head", () => {
    expect([...weights.values()].reduce((total, { shape }) => total + size(shape), 0)).toBe(6_738_415_616);
    expect(classifier).toBeUndefined();
  });

  test("has seven linear layers per block", () => {
    expect(modules).toHaveLength(7 * 32);
    expect(modules.slice(0, 7).map(({ name, role }) => `${role} ${name}`)).toEqual([
      "attention layers.0.self_attn.q_proj",
      "attention layers.0.self_attn.k_proj",
      "attention layers.0.self_attn.v_proj",
      "attention layers.0.self_attn.o_proj",
      "ffn layers.0.mlp.gate_proj",
      "ffn layers.0.mlp.up_proj",
      "ffn layers.0.mlp.down_proj",
    ]);
  });

  const adapted = selectModules(modules, ["q_proj", "k_proj", "v_proj", "up_proj", "down_proj"]);

  test("LoRA r = 32 on query, key, value, up and down trains 56,098,816 parameters", () => {
    const { parameters, trainable } = lora.adapt(lora.options.parse({ rank: 32 }), adapted);
    const trained = parameters.filter(({ name }) => trainable.has(name));
    expect(trained.reduce((total, { shape }) => total + size(shape), 0)).toBe(56_098_816);
  });

  test.each([
    ["at step 0", "adaptive", 56_980_480],
    ["all frozen", "frozen", 881_664],
  ])("AFLoRA r = 32 on the same trains the published number %s", (_, matrices, expected) => {
    const options = aflora.options.parse({ rank: 32, attentionMatrices: matrices, ffnMatrices: matrices });
    const { parameters, trainable } = aflora.adapt(options, adapted);
    const trained = parameters.filter(({ name }) => trainable.has(name));
    expect(trained.reduce((total, { shape }) => total + size(shape), 0)).toBe(expected);
  });
});

describe("settings", () => {
  test.each([
    [{ rope_scaling: { type: "dynamic", factor: 2 } }, /"rope_scaling/],
    [{ rope_scaling: { rope_type: "llama3", factor: 8 } }, /"rope_scaling.low_freq_factor"/],
    [{ rope_parameters: { rope_type: "default", partial_rotary_factor: 0.5 } }, /partial_rotary_factor/],
    [{ hidden_act: "gelu_10" }, /"hidden_act"/],
    [{ head_dim: 7 }, /"head_dim"/],
    [{ num_key_value_heads: 5 }, /32 attention heads cannot share 5 key and value heads evenly/],
  ])("rejects %o by name", (setting, message) => {
    const read = () => describeModel({ ...rawConfig, ...setting });
    expect(read).toThrow(UserError);
    expect(read).toThrow(message);
  });

  test("of RoPE scaling are read from both generations of config.json", () => {
    const reachOf = (setting: object) =>
      (describeModel({ ...rawConfig, ...setting }).config as unknown as { attentionSpans: { positions: object }[] })
        .attentionSpans[0]!;
    const scaling = { rope_type: "linear", factor: 4 };
    const old = reachOf({ rope_theta: 5e5, rope_scaling: { type: "linear", factor: 4 } });
    expect(old).toEqual(reachOf({ rope_parameters: { ...scaling, rope_theta: 5e5 } }));
    expect(old).not.toEqual(reachOf({ rope_theta: 5e5 }));
  });
});
