import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { readsSource } from "../../src/architectures/architecture-kinds.ts";
import { describeModel } from "../../src/architectures/families.ts";
import { ForwardContext } from "../../src/architectures/forward-context.ts";
import { computedWhole } from "../../src/architectures/streams/read-rows.ts";
import type { TokenStream } from "../../src/architectures/streams/token-stream.ts";
import { writeHiddenStates } from "../../src/architectures/trace.ts";
import { countFlops, totalFlops } from "../../src/graph/flops.ts";
import { gradients } from "../../src/graph/gradients.ts";
import { Graph, liveLeaves, type Value } from "../../src/graph/graph.ts";
import { mul, sumAll, tanh } from "../../src/graph/ops.ts";
import { asFloat32, float32 } from "../../src/graph/tensor.ts";
import { normal, randomFor } from "../../src/methods/initializers.ts";
import { layOut } from "../../src/training/batches/model-inputs.ts";
import { DropoutMasks } from "../../src/training/dropout/dropout-masks.ts";
import { runtime } from "../support/runtime.ts";

const RATES = {
  ...{ hidden_dropout_prob: 0.3, attention_probs_dropout_prob: 0.3, attention_dropout: 0.3, dropout: 0.3 },
  ...{
    dropout_rate: 0.3,
    resid_pdrop: 0.3,
    attn_pdrop: 0.3,
    embd_pdrop: 0.3,
    mlp_dropout: 0.3,
    activation_dropout: 0.3,
  },
};

type Read = "first" | "last" | "outputRows";

const encodingOf = (length: number, seed: number) => ({
  inputIds: Int32Array.from({ length }, (_, i) => 3 + ((i * 7 + seed * 5) % 20)),
  tokenTypeIds: new Int32Array(length),
});
const TEXTS = [
  { lengths: [5, 4], rows: [0, 2] },
  { lengths: [1, 2], rows: [0] },
  { lengths: [7, 3], rows: [1, 2] },
].map(({ lengths, rows }, index) => ({
  index,
  encoding: encodingOf(lengths[0]!, index),
  decoder: encodingOf(lengths[1]!, index + 3),
  rows: Int32Array.from(rows),
}));

/** Rows that are read, with all gradients, of a model whose last block computes only these, or all rows. */
function write(name: string, read: Read, recompute: boolean) {
  const url = new URL(`../fixtures/models/${name}/config.json`, import.meta.url);
  const description = describeModel({ ...JSON.parse(readFileSync(url, "utf8")), ...RATES });
  const graph = new Graph();
  const context = new ForwardContext(graph, { trains: () => true, dropout: true, recompute });
  const states = writeHiddenStates(context, description);
  const tokens: TokenStream = context.tokens(readsSource(description) ? "decoder." : "");
  const direction = graph.leaf("input", "direction", "float32", [description.config.hiddenSize]);
  const trainable = liveLeaves([states]).filter(({ leaf }) => leaf!.kind === "trainable");
  const withGradients = (rows: Value): Value[] => {
    const loss = sumAll(mul(tanh(rows), direction));
    return [rows, ...gradients(loss, trainable)];
  };
  const few = withGradients(tokens[read](states));
  computedWhole(states);
  const whole = withGradients(tokens[read](states));
  return { context, direction, trainable, few, whole };
}

test.each<[string, Read, boolean]>([
  ["bert-1", "first", false],
  ["bert-1", "first", true],
  ["bert-1", "outputRows", false],
  ["deberta-v2-1", "first", false],
  ["modernbert-1", "first", false],
  ["gemma2-1", "last", false],
  ["gpt2-1", "last", false],
  ["t5-1", "last", false],
  ["bart-1", "outputRows", false],
])(
  "%s: the last block computes only the rows that are read (%s, recomputed blocks: %s)",
  async (name, read, recompute) => {
    const { context, direction, trainable, few, whole } = write(name, read, recompute);
    const outputs = Object.fromEntries([few, whole].flatMap((list, i) => list.map((value, j) => [`${i}.${j}`, value])));
    const live = new Set(liveLeaves(Object.values(outputs)).map(({ leaf }) => leaf!.name));
    const weights = trainable.map(({ leaf, shape }) => {
      const sizes = shape as number[];
      return [leaf!.name, normal(0.3)(sizes, randomFor(1, leaf!.name))] as const;
    });
    const compiled = await runtime.compile(outputs, new Map(weights));
    const batch = layOut(context.streams, TEXTS);
    const dropouts = context.dropouts.filter(({ input }) => live.has(input));
    const width = direction.shape[0] as number;
    const results = await compiled.run({
      ...batch.inputs,
      ...new DropoutMasks(dropouts, 1).draw(3, batch),
      direction: float32(
        [width],
        Float32Array.from({ length: width }, (_, i) => Math.sin(i * 1.3)),
      ),
    });
    await compiled.release();
    few.forEach((_, j) => {
      const [found, expected] = [asFloat32(results[`0.${j}`]!).data, asFloat32(results[`1.${j}`]!).data];
      const scale = Math.max(1e-3, ...expected.map(Math.abs));
      const worst = expected.reduce((most, value, i) => Math.max(most, Math.abs(value - found[i]!)), 0);
      expect(worst / scale, trainable[j - 1]?.label ?? "rows").toBeLessThan(2e-5);
    });
    const [fewer, all] = [few, whole].map((list) => totalFlops(countFlops(list)(batch.sizes)));
    expect(fewer! / all!).toBeLessThan(0.98);
  },
);
