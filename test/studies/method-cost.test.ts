import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { describeModel } from "../../src/architectures/families.ts";
import { readFolderConfig } from "../../src/checkpoints/model-folder-node.ts";
import { totalFlops } from "../../src/graph/flops.ts";
import { findMethod, parseMethodOptions } from "../../src/methods/methods.ts";
import { methodCosts } from "../../src/studies/method-cost.ts";

const paper = describeModel(
  await readFolderConfig(fileURLToPath(new URL("../../studies/paper/deberta-v3-base.json", import.meta.url))),
);
const tiny = describeModel(
  await readFolderConfig(fileURLToPath(new URL("../fixtures/models/bert-1/config.json", import.meta.url))),
);

function costs(name: string, given: Record<string, unknown> = {}, model = paper, sequenceLength = 128) {
  const definition = findMethod(name);
  return methodCosts(model, definition, parseMethodOptions(definition, given), sequenceLength);
}

describe("DeBERTaV3-base from its config only (docs/method.md)", () => {
  test.each([
    ["full", [183_831_552]],
    ["lora", [1_327_104]],
    ["vera", [156_672]],
    ["aflora", [451_872, 83_232]],
    ["head", [0]],
  ])("%s: %j trainable parameters", (name, expected) => {
    const { costs: found } = costs(name);
    expect(found.map(({ trainable }) => trainable)).toEqual(expected);
    for (const { modules, trainable } of found) {
      expect(Object.values(modules).reduce((sum, count) => sum + count, 0)).toBe(trainable);
    }
  });

  test("by module: AFLoRA's attention layers have only vectors, its feed-forward layers also matrices", () => {
    const [start, end] = costs("aflora").costs;
    const attention = "encoder.layer.11.attention.self.query_proj";
    const ffn = "encoder.layer.11.intermediate.dense";
    expect(start!.modules[attention]).toBe(4 + 768);
    expect(start!.modules[ffn]).toBe(4 + 3072 + 4 * (768 + 3072));
    expect([end!.modules[attention], end!.modules[ffn]]).toEqual([4 + 768, 4 + 3072]);
  });

  test("the head is counted separately: pooler and classifier", () => {
    expect(costs("aflora").head).toBe(768 * 768 + 768 + 768 * 2 + 2);
  });

  test("forward operations of adapted layers: AFLoRA r = 4 and LoRA r = 8 are 0.34 ± 0.01 of VeRA's", () => {
    const forward = (name: string): number => {
      const { base, adapter } = costs(name).adaptedLayers;
      return base + adapter;
    };
    expect(Math.abs(forward("aflora") / forward("vera") - 0.34)).toBeLessThanOrEqual(0.01);
    expect(Math.abs(forward("lora") / forward("vera") - 0.34)).toBeLessThanOrEqual(0.01);
  });

  test("with half of the blocks frozen, a step costs that of the others, of which the last computes few rows", () => {
    const definition = findMethod("aflora");
    const options = parseMethodOptions(definition, {});
    const { costs: found } = methodCosts(paper, definition, options, 128, 6);
    const [, frozen, half] = found;
    expect(half).toMatchObject({ when: "6 of 12 blocks frozen", trainable: 83_232 / 2 });
    const share = totalFlops(half!.flops) / totalFlops(frozen!.flops);
    // The last block needs only keys and values of every token: two of its twelve matrices of hidden size.
    expect(Math.abs(share - (5 + 2 / 12) / (11 + 2 / 12))).toBeLessThan(0.01);
    expect(() => methodCosts(paper, definition, options, 128, 13)).toThrow("13 blocks cannot freeze: the model has 12");
  });

  test("frozen matrices save work only in the adapters' backward pass", () => {
    const [start, end] = costs("aflora").costs.map(({ flops }) => flops);
    expect(end!.base).toEqual(start!.base);
    expect(end!.adapter.forward).toBe(start!.adapter.forward);
    expect(end!.adapter.backward).toBeLessThan(start!.adapter.backward);
  });
});

test("operations of a small BERT, forward, counted by hand", () => {
  const [hidden, inner, blocks, sequence, labels] = [32, 64, 2, 16, 3];
  // Per token. The last block computes keys and values of every token, and the rest for the first one only.
  const keysAndValues = 2 * hidden * hidden;
  const rest = 2 * hidden * hidden + 2 * hidden * inner + 2 * sequence * hidden;
  const [wholeBlocks, blocksOfRest] = [blocks, blocks - 1 + 1 / sequence];
  const head = (hidden * hidden + hidden * labels) / sequence;
  const { flops } = costs("lora", { rank: 4 }, tiny, sequence).costs[0]!;
  expect(flops.base.forward).toBeCloseTo(2 * (wholeBlocks * keysAndValues + blocksOfRest * rest + head), 6);
  const adapters = [2 * 2 * hidden, 2 * 2 * hidden + 2 * (hidden + inner)] as const;
  expect(flops.adapter.forward).toBe(2 * 4 * (wholeBlocks * adapters[0] + blocksOfRest * adapters[1]));
  expect(totalFlops(flops)).toBeGreaterThan(2 * (flops.base.forward + flops.adapter.forward) * 0.9);
});

test("the average over training is that of a schedule in shares of the run; without one that freezes there is none", () => {
  const averageOf = (given: Record<string, unknown>) => costs("aflora", given, tiny).average;
  const [start, end] = costs("aflora", {}, tiny).costs.map(({ trainable }) => trainable) as [number, number];
  const share = 0.2 + (1 - 0.2 - 0.3) * (2 / 3);
  expect(averageOf({})).toBe(Math.round(end + share * (start - end)));
  expect(averageOf({ freezeInitial: "1epoch" })).toBeUndefined();
  expect(averageOf({ ffnMatrices: "trained" })).toBeUndefined();
  expect(costs("lora", {}, tiny).average).toBeUndefined();
});

test("layers without an adapter do not count as adapted", () => {
  const { adaptedLayers } = costs("lora", { rank: 4, targetModules: "query" }, tiny);
  expect(adaptedLayers).toEqual({ base: 2 * 2 * 32 * 32, adapter: 2 * 2 * 4 * (32 + 32) });
});
