import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import { randomFor } from "../../methods/initializers.ts";
import { drawToken, likeliest } from "./choose-token.ts";
import type { GenerationOptions, GenerationTokens } from "./generation-options.ts";
import { type Constrained, processScores } from "./logits-processors.ts";
import type { TextReader } from "./text-reader.ts";
import { likelihoods, type TokenLikelihood } from "./token-likelihood.ts";

/** A token of one of the answers. */
export interface WrittenToken {
  /** Number of the answer. */
  answer: number;
  token: number;
  /** Where it was asked for. */
  likelihood?: TokenLikelihood;
}

/** What is told of an answer's tokens. */
export interface ToldTokens {
  /** With each token comes its likelihood, and those of so many that are the likeliest in its place. */
  likeliest?: number | undefined;
}

/** How many answers there are, and what is told of their tokens. */
export interface AnswerCounts extends ToldTokens {
  /** Answers to each prompt: the prompt is read once. */
  copies?: number | undefined;
  /** What an answer draws by; by the seed and its place among those to its prompt where absent. */
  randomOf?: ((answer: number) => RandomGenerator) | undefined;
}

export type TokenOptions = Omit<GenerationOptions, "numBeams" | "lengthPenalty" | "earlyStopping" | "stop"> &
  GenerationTokens &
  Constrained &
  AnswerCounts;

/**
 * Writes after several prompts at once, a token each in turn, as they come. An answer ends with an end token, which is given
 * too, or at its greatest length.
 * @param reader has read nothing yet
 * @param prompts ids, special tokens included
 * @param ended asked before each token: whether the caller has enough of an answer
 * @returns tokens by the number of the answer: that of the prompt, or with `copies` those of the first prompt before the next one's
 */
export async function* generateTokens(
  reader: TextReader,
  prompts: readonly (readonly number[])[],
  options: TokenOptions,
  ended: (answer: number) => boolean = () => false,
): AsyncGenerator<WrittenToken> {
  const { copies = 1, likeliest: shown, seed } = options;
  const bySeed = (answer: number): RandomGenerator =>
    randomFor(seed, answer % copies === 0 ? "generation" : `generation ${answer % copies}`);
  const { randomOf = bySeed } = options;
  const promptOf = prompts.flatMap((_, prompt) => Array<number>(copies).fill(prompt));
  // Each answer draws by itself: what stands beside it changes nothing.
  const randoms = promptOf.map((_, answer) => randomOf(answer));
  const texts = promptOf.map((prompt) => [...prompts[prompt]!]);
  let going = promptOf.map((_, i) => i);
  let logits = await reader.read(prompts);
  if (copies > 1) {
    reader.keep(promptOf);
    logits = promptOf.map((prompt) => logits[prompt]!.slice());
  }
  for (;;) {
    const still: number[] = [];
    for (const [i, answer] of going.entries()) {
      const ids = texts[answer]!;
      const written = ids.length - prompts[promptOf[answer]!]!.length;
      const scores = logits[i]!;
      const likelihoodOf = shown === undefined ? undefined : likelihoods(scores, shown);
      processScores(scores, ids, written, options);
      const token = options.temperature === 0 ? likeliest(scores) : drawToken(scores, options, randoms[answer]!);
      ids.push(token);
      yield { answer, token, ...(likelihoodOf && { likelihood: likelihoodOf(token) }) };
      const whole = options.eosTokenIds.includes(token) || written + 1 >= options.maxNewTokens || ended(answer);
      if (!whole) still.push(i);
    }
    if (still.length === 0) return;
    if (still.length < going.length) reader.keep(still);
    going = still.map((i) => going[i]!);
    logits = await reader.read(going.map((answer) => [texts[answer]!.at(-1)!]));
  }
}
