import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { describeModel } from "../../src/architectures/families.ts";
import { traceModel } from "../../src/architectures/trace.ts";
import type { Shape } from "../../src/graph/dimension.ts";
import { findMethod, parseMethodOptions } from "../../src/methods/methods.ts";
import { methodCosts } from "../../src/studies/method-cost.ts";

const rawConfig = JSON.parse(readFileSync(new URL("../../studies/paper/bart-large.json", import.meta.url), "utf8"));
const size = (shape: Shape): number => (shape as number[]).reduce((product, d) => product * d, 1);

describe("BART-Large from its config.json alone (the paper's table 3)", () => {
  const description = describeModel(rawConfig);
  const { modules, weights } = traceModel(description, description.config.vocabularySize, "languageModel");

  test("has 406,291,456 weights, with one shared embedding for encoder, decoder and output layer", () => {
    const parameters = [...weights.values()].filter(({ buffer }) => !buffer);
    expect(parameters.reduce((total, { shape }) => total + size(shape), 0)).toBe(406_291_456);
  });

  test("has six linear layers per encoder block and ten per decoder block, with consecutive block indices", () => {
    const ofBlock = (block: number) => modules.filter((module) => module.block === block);
    expect(ofBlock(11).map(({ name, role }) => `${role} ${name}`)).toEqual([
      ...["q", "k", "v", "out"].map((layer) => `attention encoder.layers.11.self_attn.${layer}_proj`),
      ...["fc1", "fc2"].map((layer) => `ffn encoder.layers.11.${layer}`),
    ]);
    expect(ofBlock(12).map(({ name, role }) => `${role} ${name}`)).toEqual([
      ...["q", "k", "v", "out"].map((layer) => `attention decoder.layers.0.self_attn.${layer}_proj`),
      ...["q", "k", "v", "out"].map((layer) => `attention decoder.layers.0.encoder_attn.${layer}_proj`),
      ...["fc1", "fc2"].map((layer) => `ffn decoder.layers.0.${layer}`),
    ]);
    expect(modules).toHaveLength(12 * 6 + 12 * 10);
  });

  const costsOf = (method: string, options: Record<string, unknown>) => {
    const definition = findMethod(method);
    return methodCosts(description, definition, parseMethodOptions(definition, options), 16);
  };

  test("LoRA r = 16 on all of them trains 8,650,752 parameters", () => {
    const { costs, head } = costsOf("lora", { rank: 16 });
    expect(costs.map(({ trainable }) => trainable)).toEqual([8_650_752]);
    expect(head).toBe(0);
  });
});
