import { describe, expect, test } from "vitest";
import { float32, type Tensor } from "../../src/graph/tensor.ts";
import { adalora } from "../../src/methods/adalora.ts";
import { lora } from "../../src/methods/lora.ts";
import { product } from "../../src/methods/matrix.ts";
import type { PeftLayer } from "../../src/methods/peft.ts";

const ones = (shape: readonly number[]): Tensor<"float32"> => {
  const tensor = float32(shape);
  tensor.data.fill(1);
  return tensor;
};

/** Two layers of an adapter whose tensors are all ones. */
const layers = ["query", "dense"].map((name): PeftLayer => {
  const module = { name, role: "ffn", block: 0, inFeatures: 6, outFeatures: 5 } as const;
  return { module, moduleName: `bert.layer.0.${name}`, tensor: (_, shape) => ones(shape) };
});

/** Options and parameters of an adapter with this configuration. */
function read({ peft }: Pick<typeof lora | typeof adalora, "peft">, settings: object) {
  const { config, read } = peft!.read!;
  return read(config.parse(settings), { location: "adapter", layers, shared: () => undefined });
}

describe("a LoRA of PEFT has the options and the strength of its configuration", () => {
  test.each([
    [{}, { rank: 4, alpha: 8 }, { query: 8, dense: 8 }],
    [{ use_rslora: true }, { rank: 4, alpha: 16 }, { query: 16, dense: 16 }],
    [{ use_dora: true }, { rank: 4, alpha: 8, useDora: true }, { query: 8, dense: 8 }],
    [{ init_lora_weights: true }, { rank: 4, alpha: 8 }, { query: 8, dense: 8 }],
    [{ init_lora_weights: "gaussian" }, { rank: 4, alpha: 8 }, { query: 8, dense: 8 }],
    // With ranks or alphas of their own, scales are within B.
    [
      { use_rslora: true, rank_pattern: { query: 1 } },
      { rank: 4, alpha: 4 },
      { query: 8, dense: 16 },
    ],
    [{ alpha_pattern: { dense: 6 } }, { rank: 4, alpha: 4 }, { query: 8, dense: 6 }],
  ])("%j", (settings, options, strengths) => {
    const { options: found, parameters } = read(lora, { r: 4, lora_alpha: 8, ...settings });
    expect(found).toEqual(options);
    for (const [name, strength] of Object.entries(strengths)) {
      const change = product(parameters.get(`${name}.B`)!, parameters.get(`${name}.A`)!);
      expect(change.data[0]! * (options.alpha / options.rank), name).toBeCloseTo(strength, 5);
    }
  });
});

test("a LoRA of PEFT is refused if its start changed the base model", () => {
  const settings = { r: 4, lora_alpha: 8, init_lora_weights: "pissa" };
  expect(() => read(lora, settings)).toThrow(/^adapter: the adapter needs a base model changed by .*"pissa"/);
});

describe("an AdaLoRA of PEFT keeps the singular values of its pattern, and a rank below its initial one", () => {
  const all = [1, 1, 1, 1];
  test.each([
    [{ target_r: 2 }, 2, { query: all, dense: all }],
    [{ target_r: 6, rank_pattern: null }, 3, { query: all, dense: all }],
    [
      { target_r: 2, rank_pattern: { "query.lora_E": [true, false, true, false] } },
      2,
      { query: [1, 0, 1, 0], dense: all },
    ],
  ])("%j", (settings, rank, values) => {
    const { options, parameters } = read(adalora, { init_r: 4, lora_alpha: 8, ...settings });
    expect(options).toEqual({ rank, initialRank: 4, alpha: 8 });
    for (const [name, each] of Object.entries(values)) expect([...parameters.get(`${name}.E`)!.data]).toEqual(each);
  });
});
