import { expect, test } from "vitest";
import { freezingPictures } from "../../src/reports/freezing-pictures.ts";
import type { FreezingRecord } from "../../src/training/training-records.ts";

const check = (step: number, matrices: readonly string[], frozen: string[] = []): FreezingRecord => ({
  kind: "freezing",
  step,
  fraction: step / 20,
  threshold: 1e-8,
  scores: Object.fromEntries(matrices.map((matrix, i) => [matrix, 1e-8 * (i + 1)])),
  frozen,
  compileSeconds: 0.1,
});

const columnsOf = (matrices: readonly string[]) => {
  const [untilFrozen] = freezingPictures([
    check(0, matrices),
    check(10, matrices, matrices.slice(0, 1)),
    check(20, matrices),
  ]);
  return { ...untilFrozen!.numbers, svg: untilFrozen!.svg.text };
};

test("heat maps distinguish an encoder's blocks from a decoder's, the encoder's first", () => {
  const blocks = ["decoder.layers.10", "decoder.layers.0", "encoder.layers.1", "encoder.layers.0"];
  const { columns, rows, svg } = columnsOf([
    ...blocks.map((block) => `${block}.fc1.A`),
    "decoder.layers.0.encoder_attn.q_proj.A",
  ]);
  expect(columns).toEqual(["matrix", "block e0", "block e1", "block d0", "block d10"]);
  expect(rows).toEqual([
    ["fc1.A", "not frozen", "not frozen", "not frozen", "10"],
    ["encoder_attn.q_proj.A", "", "", "not frozen", ""],
  ]);
  expect(svg).toContain("block (e: encoder, d: decoder)");
});

test("blocks of T5 are found in names, and those of an encoder have only numbers", () => {
  expect(
    columnsOf(["encoder.block.0.layer.1.DenseReluDense.wi.A", "decoder.block.2.layer.2.DenseReluDense.wi.A"]).columns,
  ).toEqual(["matrix", "block e0", "block d2"]);
  expect(columnsOf(["encoder.layer.1.output.dense.A", "encoder.layer.0.output.dense.A"]).columns).toEqual([
    "matrix",
    "block 0",
    "block 1",
  ]);
});
