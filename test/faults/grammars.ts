import fc from "fast-check";
import { template } from "./grammars/chat-template.ts";
import { gguf } from "./grammars/gguf.ts";
import { job } from "./grammars/job.ts";
import type { Grammar } from "./grammars/parts.ts";
import { safetensors } from "./grammars/safetensors.ts";
import { tokenizer } from "./grammars/tokenizer.ts";

/** By the reader that is given them; each writes one file. */
export const GRAMMARS = { tokenizer, gguf, safetensors, template, job } satisfies Record<string, Grammar>;

/** The file of a grammar that a seed and a number name. */
export const fileOf = (grammar: Grammar, seed: number, index: number): Uint8Array =>
  fc.sample(grammar, { seed: seed * 1_000_003 + index, numRuns: 1 })[0]!;
