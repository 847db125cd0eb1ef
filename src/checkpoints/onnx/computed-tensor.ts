import type { Tensor } from "../../graph/tensor.ts";
import type { NetworkTensor } from "./network.ts";

/** Upper limit on the tensors that one read reads; weights of real models take fewer than 10. */
const MAX_READS = 64;

/**
 * Creates a tensor that is computed from others when it is read.
 * @param compute may change its inputs, which are in the order of `inputs`
 * @returns undefined if a read would read too many tensors: in a file of a few nodes, their number can double with each node
 */
export function computedTensor(
  shape: readonly number[],
  inputs: readonly NetworkTensor[],
  compute: (inputs: readonly Tensor<"float32">[]) => Tensor<"float32">,
): NetworkTensor | undefined {
  const distinct = new Set(inputs);
  const reads = [...distinct].reduce((sum, { reads = 1 }) => sum + reads, 1);
  if (reads > MAX_READS) return undefined;
  return {
    dtype: "F32",
    shape,
    reads,
    async read() {
      const values = new Map<NetworkTensor, Tensor<"float32">>();
      for (const input of distinct) values.set(input, await input.read());
      return compute(inputs.map((input) => values.get(input)!));
    },
  };
}
