import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { describeModel } from "../../src/architectures/families.ts";
import { ForwardContext } from "../../src/architectures/forward-context.ts";
import { makeTable } from "../../src/architectures/length-table.ts";
import { readModelWeights } from "../../src/architectures/model-weights.ts";
import { traceModel, writeModel } from "../../src/architectures/trace.ts";
import { openSafetensorsFile } from "../../src/checkpoints/safetensors-node.ts";
import type { Shape } from "../../src/graph/dimension.ts";
import { Graph } from "../../src/graph/graph.ts";
import { aflora } from "../../src/methods/aflora.ts";
import { head } from "../../src/methods/head.ts";
import { Predictor } from "../../src/training/prediction/predictor.ts";
import type { AdaptedModel } from "../../src/training/step-graph.ts";
import { runtime } from "../support/runtime.ts";

const rawConfig = JSON.parse(
  readFileSync(new URL("../../studies/paper/deberta-v3-base.json", import.meta.url), "utf8"),
);
const description = describeModel(rawConfig);
const size = (shape: Shape): number => (shape as number[]).reduce((product, d) => product * d, 1);

describe("DeBERTaV3-base from its config.json alone (docs/method.md)", () => {
  const { modules, weights } = traceModel(description, 2);

  test("has 183,831,552 weights without the head", () => {
    const backbone = [...weights.values()].filter(({ part }) => part === "backbone");
    expect(backbone.reduce((total, { shape }) => total + size(shape), 0)).toBe(183_831_552);
  });

  test("has six linear layers per block, counted once though positions also use two of them", () => {
    expect(modules).toHaveLength(72);
    expect(modules.slice(0, 6).map(({ name, role }) => `${role} ${name}`)).toEqual([
      "attention encoder.layer.0.attention.self.query_proj",
      "attention encoder.layer.0.attention.self.key_proj",
      "attention encoder.layer.0.attention.self.value_proj",
      "attention encoder.layer.0.attention.output.dense",
      "ffn encoder.layer.0.intermediate.dense",
      "ffn encoder.layer.0.output.dense",
    ]);
  });

  test.each([
    ["at step 0", "adaptive", 451_872],
    ["all frozen", "frozen", 83_232],
  ])("AFLoRA r = 4 trains the published number of parameters %s", (_, ffnMatrices, expected) => {
    const { parameters, trainable } = aflora.adapt(aflora.options.parse({ ffnMatrices }), modules);
    const trained = parameters.filter(({ name }) => trainable.has(name));
    expect(trained.reduce((total, { shape }) => total + size(shape), 0)).toBe(expected);
  });
});

test("DeBERTa-v2-xlarge's convolution gives a single token the same output in a longer batch", async () => {
  const folder = new URL("../fixtures/models/deberta-v2-2/", import.meta.url);
  const small = describeModel(JSON.parse(readFileSync(new URL("config.json", folder), "utf8")));
  const { labelCount } = small.config;
  const source = await openSafetensorsFile(fileURLToPath(new URL("model.safetensors", folder)));
  const { weights } = await readModelWeights(source, small, traceModel(small, labelCount));
  const adaptation = head.adapt({}, []);
  const model: AdaptedModel = { ...small, adaptation, labelCount, trainsHead: () => false };
  const predictor = await Predictor.compile(model, weights, runtime);
  const one = { index: 0, encoding: { inputIds: Int32Array.of(7), tokenTypeIds: Int32Array.of(0) } };
  const three = { index: 1, encoding: { inputIds: Int32Array.of(7, 8, 9), tokenTypeIds: new Int32Array(3) } };
  const [alone] = await predictor.logits([one]);
  const [beside] = await predictor.logits([one, three]);
  await predictor.release();
  alone!.forEach((logit, i) => {
    expect(logit).toBeCloseTo(beside![i]!, 5);
  });
});

describe("DeBERTa's relative positions", () => {
  const context = new ForwardContext(new Graph(), { trains: () => false, dropout: true });
  writeModel(context, description, 2);
  const relativePositions = (sequence: number) =>
    makeTable(context.streams[0]!.tables.get("relativePositions")!, sequence).data;

  test("near distances have separate embeddings", () => {
    expect([...relativePositions(4)]).toEqual([260, 259, 258, 257, 256, 255, 254, 253]);
  });

  test("far distances share logarithmic buckets, the last of which is distance 511", () => {
    const relative = relativePositions(512);
    const row = (distance: number) => relative[512 - distance];
    expect([128, 129, 130, 131, 511, -128, -129, -511].map(row)).toEqual([384, 385, 386, 387, 511, 128, 127, 1]);
    const far = Array.from({ length: 384 }, (_, i) => row(128 + i)!);
    expect(far).toEqual([...far].sort((a, b) => a - b));
    expect(new Set(far).size).toBeLessThan(129);
  });

  test("their dropout masks depend on the embedding, not on the position", () => {
    const rows = context.dropouts.filter(({ rowNumbers }) => rowNumbers !== undefined);
    expect(rows).toHaveLength(12);
    expect(rows[0]).toMatchObject({ rate: 0.1, shape: ["2*sequence", 768], rowNumbers: "relativePositions" });
  });
});
