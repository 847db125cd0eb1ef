import { randomFor } from "../../methods/initializers.ts";
import { drawToken, likeliest } from "./choose-token.ts";
import type { GenerationOptions, GenerationTokens } from "./generation-options.ts";
import { type Constrained, processScores } from "./logits-processors.ts";
import type { TextReader } from "./text-reader.ts";

/** A token that was written after one of the prompts. */
export interface WrittenToken {
  /** Number of the prompt. */
  prompt: number;
  token: number;
}

export type TokenOptions = Omit<GenerationOptions, "numBeams" | "lengthPenalty" | "earlyStopping" | "stop"> &
  GenerationTokens &
  Constrained;

/**
 * Writes after several prompts at once, a token each in turn, as they come. An answer ends with an end token, which is given
 * too, or at its greatest length.
 * @param reader has read nothing yet
 * @param prompts ids, special tokens included
 * @param ended asked before each token: whether the caller has enough of a prompt's answer
 */
export async function* generateTokens(
  reader: TextReader,
  prompts: readonly (readonly number[])[],
  options: TokenOptions,
  ended: (prompt: number) => boolean = () => false,
): AsyncGenerator<WrittenToken> {
  // Each prompt draws by itself: what stands beside it changes nothing.
  const randoms = prompts.map(() => randomFor(options.seed, "generation"));
  const texts = prompts.map((prompt) => [...prompt]);
  let going = prompts.map((_, i) => i);
  let more: readonly (readonly number[])[] = prompts;
  while (going.length > 0) {
    const logits = await reader.read(more);
    const still: number[] = [];
    for (const [i, prompt] of going.entries()) {
      const ids = texts[prompt]!;
      const written = ids.length - prompts[prompt]!.length;
      const scores = logits[i]!;
      processScores(scores, ids, written, options);
      const token = options.temperature === 0 ? likeliest(scores) : drawToken(scores, options, randoms[prompt]!);
      ids.push(token);
      yield { prompt, token };
      const whole = options.eosTokenIds.includes(token) || written + 1 >= options.maxNewTokens || ended(prompt);
      if (!whole) still.push(i);
    }
    if (still.length < going.length && still.length > 0) reader.keep(still);
    going = still.map((i) => going[i]!);
    more = going.map((prompt) => [texts[prompt]!.at(-1)!]);
  }
}
