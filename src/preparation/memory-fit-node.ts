import type { BaseModel } from "../base-models/base-model.ts";
import { opt } from "../errors.ts";
import { elementsOf } from "../graph/tensor.ts";
import { availableMemory } from "../runtime/available-memory-node.ts";
import type { Device } from "../runtime/device.ts";
import type { MemoryEstimate } from "../training/memory-estimate.ts";
import type { FineTuning } from "./fine-tuning.ts";

/** Expected memory of a run in bytes; `total` is that of its process. */
export interface RunMemory extends MemoryEstimate {
  total: number;
}

/**
 * Cuts a run's micro-batches smaller if they do not fit into memory.
 * @param available free memory in bytes
 * @returns the expected memory, and notes for the user
 */
export function fitIntoMemory(
  fineTuning: FineTuning,
  { usesMainMemory }: Device,
  available = availableMemory(),
): { memory: RunMemory; notes: string[] } {
  const before = fineTuning.tokenBudget;
  // The memory of other devices is unknown.
  const fits = !usesMainMemory || fineTuning.fitMemory(available);
  const { tokenBudget, memory } = fineTuning;
  const more = memory.optimizer + memory.activations + (memory.hiddenStates ?? 0);
  const notes: string[] = [];
  if (tokenBudget < before) {
    notes.push(
      `micro-batches are cut to ${tokenBudget} tokens, because those of ${before} are not expected to fit into the ${megabytes(available)} of free memory`,
    );
  }
  if (!fits) {
    notes.push(
      `one text of ${tokenBudget} tokens is expected to take ${megabytes(more)} more memory, but ${megabytes(available)} is free: the system may end the run; lower ${opt("maxLength")} or choose a smaller model`,
    );
  }
  return { memory: { ...memory, total: process.memoryUsage.rss() + more }, notes };
}

/** Says why a quantized base model does not fit into memory in float32; undefined if it does. */
export function float32TooLarge(
  { trace, format }: Pick<BaseModel, "trace" | "format">,
  available = availableMemory(),
): string | undefined {
  const bytes = [...trace.weights.values()].reduce((sum, { shape }) => sum + 4 * elementsOf(shape as number[]), 0);
  if (bytes < available) return undefined;
  return `the base model takes ${megabytes(bytes)} in float32, but ${megabytes(available)} of memory is free: the adapter was scored only on its ${format} base`;
}

const megabytes = (count: number): string => `${Math.round(count / 1e6).toLocaleString("en-US")} MB`;
