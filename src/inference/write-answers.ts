import { checkOptions, UserError } from "../errors.ts";
import type { Tensors } from "../graph/tensor.ts";
import type { Tokenizer } from "../tokenization/tokenizer.ts";
import { AnswerRows, type AskedPrompt, type ToldTokens } from "./generation/answer-rows.ts";
import { AnswerText } from "./generation/answer-text.ts";
import { beamSearch } from "./generation/beam-search.ts";
import type { CachedDecoder } from "./generation/cached-decoder.ts";
import { constraintOf, type JsonSchema } from "./generation/constrained/schema-constraint.ts";
import { type AnswerCounts, askedPrompts, type WrittenToken } from "./generation/generate-tokens.ts";
import { type GenerationOptions, type GenerationTokens, generationOptions } from "./generation/generation-options.ts";
import type { Constrained } from "./generation/logits-processors.ts";
import type { SharedWriter } from "./generation/shared-writer.ts";
import type { TokenLikelihood } from "./generation/token-likelihood.ts";
import type { GenerationSettings } from "./generation-settings.ts";

/** Answers of a model that are written at once: each keeps keys and values of all its tokens. */
export const ANSWERS_AT_ONCE = 8;

/** How answers are to be written. */
export interface AnswerOptions extends Partial<GenerationOptions>, ToldTokens {
  /** Ends an answer where it is. */
  signal?: AbortSignal;
  /**
   * Whether the model writes this one answer and no other meanwhile. Over a base of few bits it then looks up what comes next, which is faster;
   * the answer may differ in its words from the one that is written beside others.
   */
  alone?: boolean;
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
  /** Writes all that is asked at the same time; absent of an encoder-decoder, whose prompts are read together. */
  shared?: SharedWriter | undefined;
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
 * Writes `copies` answers to one prompt side by side.
 * @param prompt ids, special tokens included
 * @returns pieces of them as they come
 * @throws UserError as {@link writeAnswer}.
 */
export function writePieces(
  source: AnswerSource,
  prompt: readonly number[],
  options: AnswersOptions,
): AsyncGenerator<AnswerPiece, void> {
  return new AnswerWriter(source, [prompt], options).pieces();
}

/**
 * Writes after several prompts at once.
 * @param prompts ids, special tokens included
 * @param onAnswer told of each that is whole, once those before it are
 * @returns an answer to each, or with `copies` so many to the first before those to the next
 * @throws UserError as {@link writeAnswer}.
 */
export async function writeAnswers(
  source: AnswerSource,
  prompts: readonly (readonly number[])[],
  options: AnswersOptions = {},
  onAnswer?: (answer: Answer, index: number) => void,
): Promise<Answer[]> {
  // Beams, and the texts that an encoder reads, are of prompts that begin together.
  const begin = Math.max(1, Math.floor(ANSWERS_AT_ONCE / (options.copies ?? 1)));
  const size = source.shared && (options.numBeams ?? 1) === 1 ? prompts.length : begin;
  const all: Answer[] = [];
  for (let start = 0; start < prompts.length; start += size) {
    const first = all.length;
    const tell = (answer: Answer, i: number): void => onAnswer?.(answer, first + i);
    all.push(...(await writeTogether(source, prompts.slice(start, start + size), options, tell)));
  }
  return all;
}

async function writeTogether(
  source: AnswerSource,
  prompts: readonly (readonly number[])[],
  options: AnswersOptions,
  onAnswer: (answer: Answer, index: number) => void,
): Promise<Answer[]> {
  const writer = new AnswerWriter(source, prompts, options);
  const texts: string[] = [];
  const tokens: TokenLikelihood[][] = [];
  const whole: Answer[] = [];
  let shown = 0;
  for await (const { answer, text, likelihood, end } of writer.pieces()) {
    texts[answer] = (texts[answer] ?? "") + text;
    tokens[answer] ??= [];
    if (likelihood) tokens[answer].push(likelihood);
    if (!end) continue;
    const told = options.likeliest !== undefined && { tokens: tokens[answer] };
    whole[answer] = { text: texts[answer], ...end, ...told };
    for (; whole[shown]; shown++) onAnswer(whole[shown]!, shown);
  }
  return whole;
}

/** A piece of one of the answers: what a token adds to its text, perhaps nothing. */
export interface AnswerPiece {
  /** Which of the answers. */
  answer: number;
  text: string;
  /** How likely the token was, where that was asked for. */
  likelihood?: TokenLikelihood | undefined;
  /** How the answer ended, where this is its last piece. */
  end?: AnswerEnd;
}

class AnswerWriter {
  readonly #source: AnswerSource;
  readonly #prompts: readonly (readonly number[])[];
  /** What answers go on from. */
  readonly #begun: readonly (readonly number[])[];
  readonly #options: GenerationOptions & GenerationTokens & Constrained & AnswerCounts;
  readonly #copies: number;
  readonly #signal: AbortSignal | undefined;
  readonly #alone: boolean;
  readonly #onToken: AnswerOptions["onToken"];
  readonly #texts: readonly AnswerText[];
  readonly #ids: readonly number[][];

  constructor(source: AnswerSource, prompts: readonly (readonly number[])[], asked: AnswersOptions) {
    const { signal, alone = false, jsonSchema, onToken, copies = 1, likeliest, ...given } = asked;
    const { tokenizer, maxLength, tokens, defaults, decoderStart } = source;
    // Who asks for drawn tokens, several answers or their tokens' likelihoods asks for no search.
    const own = given.temperature || copies > 1 || likeliest !== undefined ? { ...defaults, numBeams: 1 } : defaults;
    const options = checkOptions(generationOptions, { ...own, ...given });
    this.#begun = decoderStart === undefined ? prompts : prompts.map(() => [decoderStart]);
    const longest = this.#begun.reduce((most, { length }) => Math.max(most, length), 0);
    const least = maxLength - longest;
    if (least < 1) {
      throw new UserError(
        `a prompt of ${longest} tokens leaves no room for an answer: the model reads ${maxLength} in all; shorten it`,
      );
    }
    this.#source = source;
    this.#prompts = prompts;
    const constraint = jsonSchema === undefined ? undefined : constraintOf(jsonSchema, tokenizer);
    const forced = tokens.forcedBosTokenId === undefined ? 0 : 1;
    constraint?.refuseUnlessPossible(Math.min(options.maxNewTokens, least) - forced);
    this.#options = { ...options, ...tokens, constraint, copies, likeliest };
    this.#copies = copies;
    this.#signal = signal;
    this.#alone = alone && prompts.length * copies === 1;
    this.#onToken = onToken;
    const decode = (ids: readonly number[]): string =>
      constraint?.vocabulary.textOf(ids) ?? tokenizer.decode(ids, { skipSpecialTokens: true });
    this.#texts = Array.from({ length: prompts.length * copies }, () => new AnswerText(decode, options.stop));
    this.#ids = this.#texts.map(() => []);
  }

  /** What can be read of the answers, as it comes. */
  async *pieces(): AsyncGenerator<AnswerPiece, void> {
    const arrived: AnswerPiece[] = [];
    let isDone = false;
    let isLeft = false;
    let wake = (): void => {};
    const arrive = (piece: AnswerPiece): void => {
      arrived.push(piece);
      wake();
    };
    const writing = this.#write(arrive, () => isLeft).finally(() => {
      isDone = true;
      wake();
    });
    // What goes wrong is thrown where it is waited for.
    writing.catch(() => {});
    try {
      while (!isDone || arrived.length > 0) {
        yield* arrived.splice(0);
        if (isDone || arrived.length > 0) continue;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      await writing;
    } finally {
      // Whoever wants no more is written no more.
      isLeft = true;
      await writing.catch(() => {});
    }
  }

  async #write(arrive: (piece: AnswerPiece) => void, isLeft: () => boolean): Promise<void> {
    const { decoder, adapter, shared, maxLength } = this.#source;
    const finish = (answer: number): void =>
      arrive({ answer, text: this.#texts[answer]!.finish(), end: this.endOf(answer) });
    if (this.#options.numBeams > 1) {
      await this.#search(arrive);
      for (const answer of this.#texts.keys()) finish(answer);
      return;
    }
    const asked = askedPrompts(this.#begun, this.#options, {
      take: (written) => arrive(this.#take(written)),
      ended: (answer) => isLeft() || this.#isWhole(answer),
      onEnd: finish,
    }).map(({ prompt, rows }): AskedPrompt => {
      const maxNewTokens = Math.min(this.#options.maxNewTokens, maxLength - prompt.length);
      return { prompt, rows: rows.map((row) => ({ ...row, options: { ...row.options, maxNewTokens } })) };
    });
    if (shared && !this.#alone) return shared.write(asked);
    const reader = decoder.reader(adapter, { sources: this.#prompts, alone: this.#alone });
    try {
      const rows = new AnswerRows(reader);
      await rows.begin(asked);
      while (rows.count > 0) await rows.step();
    } finally {
      reader.release();
    }
  }

  async #search(arrive: (piece: AnswerPiece) => void): Promise<void> {
    const { decoder, adapter, maxLength } = this.#source;
    const longest = Math.max(...this.#begun.map(({ length }) => length));
    const maxNewTokens = Math.min(this.#options.maxNewTokens, maxLength - longest);
    const reader = decoder.reader(adapter, { sources: this.#prompts });
    try {
      const options = { ...this.#options, maxNewTokens };
      const found = await beamSearch(reader, this.#begun, options, () => this.#signal?.aborted === true);
      for (const [answer, ids] of found.entries()) for (const token of ids) arrive(this.#take({ answer, token }));
    } finally {
      reader.release();
    }
  }

  #take({ answer, token, likelihood }: WrittenToken): AnswerPiece {
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
