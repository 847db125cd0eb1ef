import type { BaseFormat } from "../architectures/base-format.ts";
import type { StoredWeights } from "../base-models/base-model.ts";
import { availableMemory } from "../runtime/available-memory-node.ts";

/** Formats whose answers are as close to those of float32 as the numbers in their files allow (`bench/same-answers.ts`), and faster. */
const ACCURATE_FORMATS: readonly (BaseFormat | undefined)[] = ["q4_0", "q4_1"];

/**
 * Chooses the storage format of a base model for inference: float32 or, if its bytes do not fit in memory, that of training. To
 * generate, the format of its file, if float32 does not fit or this format is as good.
 * @param trained storage format in training (default: int8 replaces float32)
 */
export const formatToAnswer =
  ({ trained = "int8", writes = false, packs = false, available = availableMemory() }: AnsweringBase = {}) =>
  ({ float32Bytes, format }: StoredWeights): BaseFormat => {
    const own = writes ? format : undefined;
    if (float32Bytes < available && !(packs && ACCURATE_FORMATS.includes(own))) return "float32";
    return own ?? trained;
  };

export interface AnsweringBase {
  trained?: BaseFormat | undefined;
  writes?: boolean;
  /** Whether the runtime packs weights of few bits for the processor. Otherwise they are slower than float32. */
  packs?: boolean;
  /** Free memory in bytes. */
  available?: number;
}
