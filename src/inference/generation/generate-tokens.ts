import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import { randomFor } from "../../methods/initializers.ts";
import { AnswerRows, type AskedPrompt, type RowOptions, type ToldTokens } from "./answer-rows.ts";
import type { TextReader } from "./text-reader.ts";
import type { TokenLikelihood } from "./token-likelihood.ts";

/** A token of one of the answers. */
export interface WrittenToken {
  /** Number of the answer. */
  answer: number;
  token: number;
  /** Where it was asked for. */
  likelihood?: TokenLikelihood;
}

/** How many answers there are, and what is told of their tokens. */
export interface AnswerCounts extends ToldTokens {
  /** Answers to each prompt: the prompt is read once. */
  copies?: number | undefined;
  /** What an answer draws by; by the seed and its place among those to its prompt where absent. */
  randomOf?: ((answer: number) => RandomGenerator) | undefined;
}

export type TokenOptions = RowOptions & AnswerCounts;

/** Who takes an answer's tokens. */
export interface TokenTaker {
  /** Takes a token: by the number of the answer, that of the prompt, or with `copies` those of the first prompt before the next one's. */
  take(written: WrittenToken): void;
  /** Asked before and after each token: whether enough of an answer is there. */
  ended?(answer: number): boolean;
  /** Told when an answer is whole, or left. */
  onEnd?(answer: number): void;
}

/** Prompts with rows for their answers. @param prompts ids, special tokens included */
export function askedPrompts(
  prompts: readonly (readonly number[])[],
  options: TokenOptions,
  { take, ended = () => false, onEnd }: TokenTaker,
): AskedPrompt[] {
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
        // Each answer draws by itself: what stands beside it changes nothing.
        random: randomOf(answer),
        take: (token, likelihood) => take({ answer, token, ...(likelihood && { likelihood }) }),
        ended: () => ended(answer),
        ...(onEnd && { onEnd: () => onEnd(answer) }),
      };
    }),
  }));
}

/**
 * Writes after several prompts at once, a token each in turn. An answer ends with an end token, which is given too, or at its greatest length.
 * @param reader has read nothing yet
 * @param prompts ids, special tokens included
 */
export async function generateTokens(
  reader: TextReader,
  prompts: readonly (readonly number[])[],
  options: TokenOptions,
  taker: TokenTaker,
): Promise<void> {
  const rows = new AnswerRows(reader);
  await rows.begin(askedPrompts(prompts, options, taker));
  while (rows.count > 0) await rows.step();
}
