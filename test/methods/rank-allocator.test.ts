import { expect, test } from "vitest";
import { float32 } from "../../src/graph/tensor.ts";
import { RankAllocator } from "../../src/methods/rank-allocator.ts";

test("singular values are pruned at intervals, and for good at the last pruning, which has the latest importance", () => {
  const allocator = new RankAllocator({
    modules: [{ name: "layer", role: "ffn", block: 0, inFeatures: 1, outFeatures: 1 }],
    ...{ initialRank: 2, targetRank: 1, totalSteps: 9, initialSteps: 1, finalSteps: 4, interval: 3 },
    ...{ beta1: 0.5, beta2: 0.5 },
  });
  const tensors = (A: number[], E: number[], B: number[]) =>
    new Map(
      Object.entries({ A, E, B }).map(([part, data]) => [`layer.${part}`, float32([2], Float32Array.from(data))]),
    );
  const left = Array.from({ length: 9 }, (_, step) => {
    const values = tensors([1, 1], [1, 1], [1, 1]);
    // The first value matters until step 3, the second one from step 4 on.
    allocator.afterStep(step, tensors([0, 0], step < 4 ? [2, 1] : [0, 100], [0, 0]), values);
    return [...values.get("layer.E")!.data].join(" ");
  });
  expect(left).toEqual(["1 1", "1 1", "1 1", "1 0", "1 1", "0 1", "0 1", "0 1", "0 1"]);
  expect([...allocator.state().tensors.keys()]).toEqual(["layer.kept"]);
});
