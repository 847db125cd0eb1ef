import { checkOptions, UserError } from "../errors.ts";
import type { Tensors } from "../graph/tensor.ts";
import type { Tokenizer } from "../tokenization/tokenizer.ts";
import { AnswerText } from "./generation/answer-text.ts";
import { beamSearch } from "./generation/beam-search.ts";
import type { CachedDecoder } from "./generation/cached-decoder.ts";
import { constraintOf, type JsonSchema } from "./generation/constrained/schema-constraint.ts";
import { type AnswerCounts, generateTokens, type ToldTokens, type WrittenToken } from "./generation/generate-tokens.ts";
import { type GenerationOptions, type GenerationTokens, generationOptions } from "./generation/generation-options.ts";
import type { Constrained } from "./generation/logits-processors.ts";
import type { TokenLikelihood } from "./generation/token-likelihood.ts";
import type { GenerationSettings } from "./generation-settings.ts";

/** How answers are to be written. */
export interface AnswerOptions extends Partial<GenerationOptions>, ToldTokens {
  /** Ends an answer where it is. */
  signal?: AbortSignal;
  /** What answers are held to: each is JSON that is valid by it. */
  jsonSchema?: JsonSchema;
  /** Called for each token that is written, with how likely it was where that was asked for. */
  onToken?: (likelihood: TokenLikelihood | undefined) => void;
}

/** How several answers are to be written. */
export interface AnswersOptions extends AnswerOptions, AnswerCounts {}

/** How an answer ended. */
export interface AnswerEnd {
  /** `stop`: by the model, a stop string or the signal; `length`: at its greatest length. */
  reason: "stop" | "length";
  promptTokens: number;
  answerTokens: number;
}

/** An answer, whole. */
export interface Answer extends AnswerEnd {
  text: string;
  /** Of each token how likely it was, where that was asked for. */
  tokens?: TokenLikelihood[];
}

/** What writes: a compiled decoder with an adapter's tensors, and what its tokens mean. */
export interface AnswerSource extends GenerationSettings {
  decoder: CachedDecoder;
  adapter: Tensors;
  tokenizer: Tokenizer;
  /** Most tokens of a prompt with its answer; of an encoder-decoder, of the answer. */
  maxLength: number;
  /** Of an encoder-decoder, whose encoder reads the prompts: what its decoder reads first. */
  decoderStart?: number | undefined;
}

/**
 * Writes after one prompt.
 * @param prompt ids, special tokens included
 * @returns pieces of the answer as they come, and how it ended; of a search with beams the answer in one piece
 * @throws UserError where an option is malformed, or the prompt leaves no room for an answer.
 */
export async function* writeAnswer(
  source: AnswerSource,
  prompt: readonly number[],
  options: AnswerOptions = {},
): AsyncGenerator<string, AnswerEnd> {
  const writer = new AnswerWriter(source, [prompt], options);
  for await (const { text } of writer.pieces()) if (text !== "") yield text;
  return writer.endOf(0);
}

/**
 * Writes after several prompts at once.
 * @param prompts ids, special tokens included
 * @returns an answer to each, or with `copies` so many to the first before those to the next
 * @throws UserError as {@link writeAnswer}.
 */
export async function writeAnswers(
  source: AnswerSource,
  prompts: readonly (readonly number[])[],
  options: AnswersOptions = {},
): Promise<Answer[]> {
  const writer = new AnswerWriter(source, prompts, options);
  const texts: string[] = [];
  const tokens: TokenLikelihood[][] = [];
  for await (const { answer, text, likelihood } of writer.pieces()) {
    texts[answer] = (texts[answer] ?? "") + text;
    tokens[answer] ??= [];
    if (likelihood) tokens[answer].push(likelihood);
  }
  return texts.map((text, i) => ({
    text,
    ...writer.endOf(i),
    ...(options.likeliest !== undefined && { tokens: tokens[i]! }),
  }));
}

/** A piece of one of the answers. */
interface Piece {
  answer: number;
  text: string;
  likelihood?: TokenLikelihood | undefined;
}

class AnswerWriter {
  readonly #source: AnswerSource;
  readonly #prompts: readonly (readonly number[])[];
  /** What answers go on from. */
  readonly #begun: readonly (readonly number[])[];
  readonly #options: GenerationOptions & GenerationTokens & Constrained & AnswerCounts;
  readonly #copies: number;
  readonly #signal: AbortSignal | undefined;
  readonly #onToken: AnswerOptions["onToken"];
  readonly #texts: readonly AnswerText[];
  readonly #ids: readonly number[][];

  constructor(source: AnswerSource, prompts: readonly (readonly number[])[], asked: AnswersOptions) {
    const { signal, jsonSchema, onToken, copies = 1, likeliest, ...given } = asked;
    const { tokenizer, maxLength, tokens, defaults, decoderStart } = source;
    // Who asks for drawn tokens, several answers or their tokens' likelihoods asks for no search.
    const own = given.temperature || copies > 1 || likeliest !== undefined ? { ...defaults, numBeams: 1 } : defaults;
    const options = checkOptions(generationOptions, { ...own, ...given });
    this.#begun = decoderStart === undefined ? prompts : prompts.map(() => [decoderStart]);
    const longest = this.#begun.reduce((most, { length }) => Math.max(most, length), 0);
    const room = maxLength - longest;
    if (room < 1) {
      throw new UserError(
        `a prompt of ${longest} tokens leaves no room for an answer: the model reads ${maxLength} in all; shorten it`,
      );
    }
    this.#source = source;
    this.#prompts = prompts;
    const constraint = jsonSchema === undefined ? undefined : constraintOf(jsonSchema, tokenizer);
    const maxNewTokens = Math.min(options.maxNewTokens, room);
    constraint?.refuseUnlessPossible(maxNewTokens - (tokens.forcedBosTokenId === undefined ? 0 : 1));
    this.#options = { ...options, ...tokens, maxNewTokens, constraint, copies, likeliest };
    this.#copies = copies;
    this.#signal = signal;
    this.#onToken = onToken;
    const decode = (ids: readonly number[]): string =>
      constraint?.vocabulary.textOf(ids) ?? tokenizer.decode(ids, { skipSpecialTokens: true });
    this.#texts = Array.from({ length: prompts.length * copies }, () => new AnswerText(decode, options.stop));
    this.#ids = this.#texts.map(() => []);
  }

  /** What can be read of the answers, as it comes. */
  async *pieces(): AsyncGenerator<Piece> {
    const { decoder, adapter } = this.#source;
    const reader = decoder.reader(adapter, this.#prompts);
    try {
      const { numBeams } = this.#options;
      if (numBeams > 1) {
        const found = await beamSearch(reader, this.#begun, this.#options, () => this.#signal?.aborted === true);
        for (const [answer, ids] of found.entries()) for (const token of ids) yield this.#take({ answer, token });
      } else {
        const tokens = generateTokens(reader, this.#begun, this.#options, (answer) => this.#isWhole(answer));
        for await (const written of tokens) yield this.#take(written);
      }
      for (const [answer, text] of this.#texts.entries()) yield { answer, text: text.finish() };
    } finally {
      reader.release();
    }
  }

  #take({ answer, token, likelihood }: WrittenToken): Piece {
    const text = this.#texts[answer]!;
    this.#ids[answer]!.push(token);
    this.#onToken?.(likelihood);
    return { answer, text: this.#isEnd(token) || text.stopped ? "" : text.push(token), likelihood };
  }

  #isEnd(token: number): boolean {
    return this.#options.eosTokenIds.includes(token);
  }

  /** Whether an answer needs no end token. */
  #isWhole(answer: number): boolean {
    if (this.#texts[answer]!.stopped || this.#signal?.aborted === true) return true;
    return this.#options.constraint?.isWhole(this.#ids[answer]!) ?? false;
  }

  endOf(answer: number): AnswerEnd {
    const ids = this.#ids[answer]!;
    const whole = this.#isEnd(ids.at(-1)!) || this.#isWhole(answer);
    return {
      reason: whole ? "stop" : "length",
      promptTokens: this.#prompts[Math.floor(answer / this.#copies)]!.length,
      answerTokens: ids.length,
    };
  }
}
