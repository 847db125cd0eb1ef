import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type NetworkInput, writeWholeNetwork } from "../../src/architectures/onnx/whole-network.ts";
import { memoryFiles } from "../../src/checkpoints/model-files.ts";
import { openOnnx } from "../../src/checkpoints/onnx/onnx-format.ts";
import { UserError } from "../../src/errors.ts";
import { bytesSource } from "../../src/files/byte-source.ts";
import { Graph } from "../../src/graph/graph.ts";
import { float32, type Tensor } from "../../src/graph/tensor.ts";
import { runtime } from "../support/runtime.ts";

const read = (name: string) => readFileSync(new URL(`../fixtures/onnx/${name}`, import.meta.url));
const source = await openOnnx(bytesSource("branches.onnx", read("branches.onnx")), memoryFiles("made", {}), "");

interface Case extends Record<"x" | "state" | "means" | "cells", number[]> {
  mode: number;
  batch: number;
}
const cases: Case[] = JSON.parse(read("branches.json").toString());
const WIDTH = 3;
const SIZE = 2;

const port = (...shape: (number | string)[]): NetworkInput => ({ dtype: "float32", shape });
const write = (inputs: Record<string, NetworkInput>) =>
  writeWholeNetwork(source.network!, new Graph(), new Map(Object.entries(inputs)));

describe("a network with nested branches and recurrences, against PyTorch (oracle/branches.py)", () => {
  async function run({ mode, batch, x, state }: Case, sequence: number | string) {
    const inputs = { x: port(sequence, batch, WIDTH), state: port(2, batch, SIZE), mode };
    const { outputs, weights } = write(inputs);
    const tensors = new Map<string, Tensor>();
    for (const name of weights) tensors.set(name, await source.read(name));
    const compiled = await runtime.compile(Object.fromEntries(outputs), tensors);
    const results = await compiled.run({
      x: float32([x.length / batch / WIDTH, batch, WIDTH], Float32Array.from(x)),
      ...(mode === 2 && { state: float32([2, batch, SIZE], Float32Array.from(state)) }),
    });
    await compiled.release();
    return results;
  }

  test.each(cases.flatMap((each) => [4, "sequence"].map((length) => ({ ...each, length }))))(
    "mode $mode, $batch examples of length $length",
    async ({ length, ...each }) => {
      const results = await run(each, length);
      for (const name of ["means", "cells"] as const) {
        const found = [...(results[name]!.data as Float32Array)];
        expect(found.length).toBe(each[name].length);
        for (const [i, value] of each[name].entries()) expect(found[i]).toBeCloseTo(value, 5);
      }
    },
  );
});

test("does not read weights of branches that are not selected", () => {
  const { weights } = write({ x: port(4, 2, WIDTH), state: port(2, 2, SIZE), mode: 0 });
  expect(weights.length).toBe(4);
});

describe("is rejected in one sentence if", () => {
  test.each<[what: string, inputs: Record<string, NetworkInput>, says: RegExp]>([
    [
      "a condition is an input",
      { x: port(4, 1, WIDTH), state: port(2, 1, SIZE), mode: { dtype: "int64", shape: [] } },
      /node "ways" \(If\) .* its condition is computed as the graph runs, and must be known before/,
    ],
    ["an input is not given", { x: port(4, 1, WIDTH), mode: 2 }, /branches.onnx reads "state"; say what it is/],
    [
      "states do not fit",
      { x: port(4, 1, WIDTH), state: port(1, 1, SIZE), mode: 2 },
      /\(LSTM\) .* weights and states of 2 directions/,
    ],
  ])("%s", (_what, inputs, says) => {
    expect(() => write(inputs)).toThrow(UserError);
    expect(() => write(inputs)).toThrow(says);
  });
});
