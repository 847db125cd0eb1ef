import { freemem, totalmem } from "node:os";
import { sizeOf } from "../graph/tensor.ts";
import type { BaseModel, StoredWeights } from "../inference/base-model.ts";
import type { BaseFormat } from "../models/base-format.ts";
import type { Device } from "../runtime/device.ts";
import type { FineTuning } from "../trainer/fine-tuning.ts";
import type { MemoryEstimate } from "../training/memory-estimate.ts";

/** What a run is expected to take, bytes; `total` is what its process will have. */
export interface RunMemory extends MemoryEstimate {
  total: number;
}

/**
 * Bytes that this process may still take: what the machine has free and, in a container, what that allows. Other
 * processes of the container are not seen.
 */
export function availableMemory(): number {
  const used = process.memoryUsage.rss();
  const [all, limit] = [totalmem(), process.constrainedMemory()];
  // macOS counts as free only what nothing was ever read into.
  const free = process.platform === "darwin" ? all - used : freemem();
  // 0, or more than there is, where there is no limit.
  return limit > 0 && limit < all ? Math.max(0, Math.min(free, limit - used)) : free;
}

/**
 * Cuts a run's micro-batches smaller where they would not fit into memory.
 * @param available bytes that may still be taken
 * @returns what it is expected to take, and what the user should know
 */
export function fitIntoMemory(
  fineTuning: FineTuning,
  { usesMainMemory }: Device,
  available = availableMemory(),
): { memory: RunMemory; notes: string[] } {
  const before = fineTuning.tokenBudget;
  // Of other devices' memory nothing is known.
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
      `one text of ${tokenBudget} tokens is expected to take ${megabytes(more)} more memory, but ${megabytes(available)} is free: the system may end the run; lower --max-length or choose a smaller model`,
    );
  }
  return { memory: { ...memory, total: process.memoryUsage.rss() + more }, notes };
}

/** What the user should know where a base model in fewer bits cannot be there in float32, too; else undefined. */
export function float32TooLarge(
  { trace, format }: Pick<BaseModel, "trace" | "format">,
  available = availableMemory(),
): string | undefined {
  const bytes = [...trace.weights.values()].reduce((sum, { shape }) => sum + 4 * sizeOf(shape as number[]), 0);
  if (bytes < available) return undefined;
  return `the base model takes ${megabytes(bytes)} in float32, but ${megabytes(available)} of memory is free: the adapter was scored only on its ${format} base`;
}

/** Formats whose answers are as near to float32's as the numbers of their files are (`bench/same-answers.ts`), and faster. */
const NEAR: readonly (BaseFormat | undefined)[] = ["q4_0", "q4_1"];

/**
 * How a base model is stored that is to answer: in float32 or, where its bytes do not fit into memory, as in training; to write, as its file
 * has it, in any case where that is as good as float32.
 * @param trained how it was stored in training; where nobody knows, 8 bits take the place of float32
 */
export const formatToAnswer =
  ({ trained = "int8", writes = false, packs = false, available = availableMemory() }: AnsweringBase = {}) =>
  ({ float32Bytes, format }: StoredWeights): BaseFormat => {
    const own = writes ? format : undefined;
    if (float32Bytes < available && !(packs && NEAR.includes(own))) return "float32";
    return own ?? trained;
  };

/** What a base model's format goes by. */
export interface AnsweringBase {
  trained?: BaseFormat | undefined;
  /** Whether it is to write texts. */
  writes?: boolean;
  /** Whether the runtime lays few bits out for the processor: elsewhere they are slower than float32. */
  packs?: boolean;
  /** Bytes of free memory. */
  available?: number;
}

const megabytes = (count: number): string => `${Math.round(count / 1e6).toLocaleString("en-US")} MB`;
