import { UserError } from "../../src/errors.ts";
import type { MemoryEstimate } from "../../src/training/memory-estimate.ts";

/** Bytes of a run in a page. Weights are counted twice, because Wasm has a copy. */
export const pageMemory = ({ weights, optimizer, activations, hiddenStates = 0 }: MemoryEstimate): number =>
  2 * weights + optimizer + activations + hiddenStates;

export async function withinMemory<Value>(promise: Promise<Value>): Promise<Value> {
  try {
    return await promise;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    if (
      error instanceof UserError ||
      !/bad_alloc|out of memory|allocation failed|memory access|Aborted\(/i.test(message)
    )
      throw error;
    throw new UserError(
      "this page's memory ran out; lower the maximum tokens per text or the tokens computed at once, choose a smaller model, or close other tabs, then reload the page",
    );
  }
}
