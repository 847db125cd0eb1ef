import { describe, expect, test } from "vitest";
import { BASE_FORMATS, type BaseFormat, quantizeWeight } from "../../src/architectures/base-format.ts";
import { ForwardContext } from "../../src/architectures/forward-context.ts";
import { gradients } from "../../src/graph/gradients.ts";
import { Graph, liveLeaves } from "../../src/graph/graph.ts";
import { sumAll, tanh } from "../../src/graph/ops.ts";
import { asFloat32, int32, type Tensor } from "../../src/graph/tensor.ts";
import { normal, randomFor } from "../../src/methods/initializers.ts";
import { runtime } from "../support/runtime.ts";

const [words, width] = [30, 16];

/** A language model of token embeddings and a trainable vector only. */
function tied(format: BaseFormat) {
  const graph = new Graph();
  const trains = ({ name }: { name: string }): boolean => name === "norm.weight";
  const context = new ForwardContext(graph, { trains, format, dropout: false });
  const indices = graph.leaf("input", "indices", "int32", ["n"]);
  const x = context.layerNorm(context.lookup("words", [words, width], indices), "norm", 1e-5, { bias: false });
  const logits = context.unembed(x, "words", words);
  const [gradient] = gradients(sumAll(tanh(logits)), [graph.leaves.get("norm.weight")!]);
  return { context, outputs: { logits, gradient: gradient! } };
}

describe("token embeddings that are also the output layer", () => {
  const table = normal(1)([words, width], randomFor(1, "words"));
  const norm = normal(1)([width], randomFor(1, "norm"));
  const indices = int32([3], Int32Array.of(4, 0, 29));

  async function run(format: BaseFormat) {
    const { context, outputs } = tied(format);
    const spec = context.weights.get("words.weight")!;
    const stored = format === "float32" ? [[spec.name, table] as const] : quantizeWeight(spec, format, table);
    const weights = new Map<string, Tensor>([...stored, ["norm.weight", norm]]);
    const compiled = await runtime.compile(outputs, weights);
    const results = await compiled.run({ indices });
    await compiled.release();
    const leaves = liveLeaves(Object.values(outputs)).map(({ leaf }) => leaf!);
    return {
      logits: asFloat32(results.logits!).data,
      gradient: asFloat32(results.gradient!).data,
      frozen: leaves.filter(({ kind }) => kind === "frozen").map(({ name }) => name),
      stored: stored.map(([name]) => name),
    };
  }

  test.each(BASE_FORMATS)("have one copy in %s, close to float32", async (format) => {
    const [found, expected] = [await run(format), await run("float32")];
    expect(found.frozen.toSorted()).toEqual(found.stored.toSorted());
    expect(found.stored).toHaveLength(format === "float32" ? 1 : 2);
    for (const name of ["logits", "gradient"] as const) {
      const scale = Math.max(...expected[name].map(Math.abs));
      found[name].forEach((value, i) => {
        expect(Math.abs(value - expected[name][i]!) / scale, `${name} ${i}`).toBeLessThan(0.03);
      });
    }
  });
});

test("a weight that may be quantised cannot be read as float32", () => {
  const { context } = tied("float32");
  expect(() => context.weight("words.weight", [words, width])).toThrow(/"words.weight" was read as a table before/);
});
