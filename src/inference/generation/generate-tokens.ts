import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import { randomFor } from "../../methods/initializers.ts";
import { AnswerRows, type LikelihoodOptions, type PromptRows, type RowOptions } from "./answer-rows.ts";
import type { TextReader } from "./text-reader.ts";
import type { TokenLikelihood } from "./token-likelihood.ts";

export interface WrittenToken {
  answer: number;
  token: number;
  likelihood?: TokenLikelihood;
  /** Whether the answer is complete without an end token, because its grammar allows no other token. */
  isWhole: boolean;
}

export interface AnswerCounts extends LikelihoodOptions {
  /** Number of answers to each prompt (default: 1). The prompt is read once. */
  copies?: number | undefined;
  /** Random generator of an answer (default: by the seed and the answer's number among those to its prompt). */
  randomOf?: ((answer: number) => RandomGenerator) | undefined;
}

export type TokenOptions = RowOptions & AnswerCounts;

export interface TokenReceiver {
  /** Receives a token. With `copies`, answers to the first prompt have the first indices, then those to the next one. */
  take(written: WrittenToken): void;
  ended?(answer: number): boolean;
  /** Receives the error that stops an answer; the others continue. By default, all of them fail. */
  fail?(error: unknown): void;
  onEnd?(answer: number): void;
}

export function promptRows(
  prompts: readonly (readonly number[])[],
  options: TokenOptions,
  { take, ended = () => false, fail, onEnd }: TokenReceiver,
): PromptRows[] {
  const { copies = 1, seed } = options;
  const bySeed = (answer: number): RandomGenerator =>
    randomFor(seed, answer % copies === 0 ? "generation" : `generation ${answer % copies}`);
  const { randomOf = bySeed } = options;
  return prompts.map((prompt, i) => ({
    prompt,
    rows: Array.from({ length: copies }, (_, copy) => {
      const answer = i * copies + copy;
      return {
        options,
        // Each answer has its own random generator, so parallel answers do not change it.
        random: randomOf(answer),
        take: (token, likelihood, isWhole) => take({ answer, token, isWhole, ...(likelihood && { likelihood }) }),
        ended: () => ended(answer),
        ...(fail && { fail }),
        ...(onEnd && { onEnd: () => onEnd(answer) }),
      };
    }),
  }));
}

/**
 * Generates answers to several prompts at once, one token each per step. An answer ends with an end token, which is included, or at its
 * length limit.
 */
export async function generateTokens(
  reader: TextReader,
  prompts: readonly (readonly number[])[],
  options: TokenOptions,
  taker: TokenReceiver,
): Promise<void> {
  const rows = new AnswerRows(reader);
  await rows.begin(promptRows(prompts, options, taker));
  while (rows.count > 0) await rows.step();
}
