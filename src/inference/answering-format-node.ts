import type { StoredWeights } from "../model/base-model.ts";
import type { BaseFormat } from "../models/base-format.ts";
import { availableMemory } from "../runtime/available-memory-node.ts";

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
