import { checkOptions, UserError } from "../errors.ts";
import type { Tensors } from "../graph/tensor.ts";
import type { Tokenizer } from "../inputs/tokenizer.ts";
import { AnswerRows, type LikelihoodOptions, type PromptRows } from "./generation/answer-rows.ts";
import { AnswerText } from "./generation/answer-text.ts";
import { beamSearch } from "./generation/beam-search.ts";
import type { CachedDecoder } from "./generation/cached-decoder.ts";
import { constraintOf } from "./generation/constrained/schema-constraint.ts";
import { type AnswerCounts, promptRows, type WrittenToken } from "./generation/generate-tokens.ts";
import { type GenerationOptions, type GenerationTokens, generationOptions } from "./generation/generation-options.ts";
import type { Constrained } from "./generation/logits-processors.ts";
import type { SharedWriter } from "./generation/shared-writer.ts";
import type { TokenLikelihood } from "./generation/token-likelihood.ts";
import type { GenerationSettings } from "./generation-settings.ts";

/** Number of answers that a model generates in parallel: each keeps keys and values of all its tokens. */
export const PARALLEL_ANSWERS = 8;

/** Options of an answer. */
export interface AnswerOptions extends Partial<GenerationOptions>, LikelihoodOptions {
  /** Stops the answer at its current position. */
  signal?: AbortSignal;
  /**
   * Whether the model generates only this answer at this time. With a base of few bits, it then guesses the next tokens, which is faster;
   * the answer may differ in its words from one that is generated in parallel with others.
   */
  alone?: boolean;
  /** JSON schema of answers: each is valid JSON for it. */
  jsonSchema?: boolean | Readonly<Record<string, unknown>>;
  /** Receives each generated token, with its likelihood if requested. */
  onToken?: (likelihood: TokenLikelihood | undefined) => void;
}

/** Options of several answers. */
export interface AnswersOptions extends AnswerOptions, AnswerCounts {}

/** How an answer ended. */
export interface AnswerEnd {
  /** `stop`: by the model, a stop string or the signal; `length`: at its length limit. */
  reason: "stop" | "length";
  promptTokens: number;
  answerTokens: number;
}

/** A complete answer. */
export interface Answer extends AnswerEnd {
  text: string;
  /** Likelihood of each token, if requested. */
  tokens?: TokenLikelihood[];
}

/** A compiled decoder with an adapter's tensors, and its tokenizer. */
export interface AnswerSource extends GenerationSettings {
  decoder: CachedDecoder;
  adapter: Tensors;
  /** Writer for all concurrent requests; undefined for an encoder-decoder, whose prompts are read together. */
  shared?: SharedWriter | undefined;
  tokenizer: Tokenizer;
  /** Maximum number of tokens of a prompt with its answer; for an encoder-decoder, of the answer. */
  maxLength: number;
  /** First token of the decoder, for an encoder-decoder, whose encoder reads the prompts. */
  decoderStart?: number | undefined;
}

/**
 * Generates an answer to one prompt.
 * @param prompt ids, including special tokens
 * @returns pieces of the answer as they are generated, and how it ended; with beam search the answer in one piece
 * @throws UserError if an option is malformed, or the prompt leaves no room for an answer.
 */
export async function* writeAnswer(
  source: AnswerSource,
  prompt: readonly number[],
  options: AnswerOptions = {},
): AsyncGenerator<string, AnswerEnd> {
  const writer = await AnswerWriter.open(source, [prompt], options);
  for await (const { text } of writer.pieces()) if (text !== "") yield text;
  return writer.endOf(0);
}

/**
 * Generates `copies` answers to one prompt in parallel.
 * @param prompt ids, including special tokens
 * @returns pieces of the answers as they are generated
 * @throws UserError like {@link writeAnswer}.
 */
export async function* writePieces(
  source: AnswerSource,
  prompt: readonly number[],
  options: AnswersOptions,
): AsyncGenerator<AnswerPiece, void> {
  const writer = await AnswerWriter.open(source, [prompt], options);
  yield* writer.pieces();
}

/**
 * Generates answers to several prompts at once.
 * @param prompts ids, including special tokens
 * @param onAnswer receives each complete answer, in the order of the prompts
 * @returns an answer to each prompt; with `copies`, all answers to the first prompt before those to the next
 * @throws UserError like {@link writeAnswer}.
 */
export async function writeAnswers(
  source: AnswerSource,
  prompts: readonly (readonly number[])[],
  options: AnswersOptions = {},
  onAnswer?: (answer: Answer, index: number) => void,
): Promise<Answer[]> {
  // Beam search, and an encoder, need prompts that begin together.
  const begin = Math.max(1, Math.floor(PARALLEL_ANSWERS / (options.copies ?? 1)));
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
  const writer = await AnswerWriter.open(source, prompts, options);
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

/** A piece of one of the answers: the text that a token adds, possibly empty. */
export interface AnswerPiece {
  /** Index of the answer. */
  answer: number;
  text: string;
  /** Likelihood of the token, if requested. */
  likelihood?: TokenLikelihood | undefined;
  /** How the answer ended, if this is its last piece. */
  end?: AnswerEnd;
}

class AnswerWriter {
  /** Tokens after which each answer is generated. */
  readonly #begun: readonly (readonly number[])[];
  readonly #options: GenerationOptions & GenerationTokens & Constrained & AnswerCounts;
  readonly #copies: number;
  readonly #signal: AbortSignal | undefined;
  readonly #alone: boolean;
  readonly #onToken: AnswerOptions["onToken"];
  readonly #texts: readonly AnswerText[];
  readonly #ids: readonly number[][];
  /** Answers that are complete by their schema. */
  readonly #whole = new Set<number>();
  /** The error that stopped an answer. */
  #failure: { error: unknown } | undefined;

  private constructor(
    private readonly source: AnswerSource,
    private readonly prompts: readonly (readonly number[])[],
    { signal, alone = false, onToken, copies = 1, likeliest }: AnswersOptions,
    options: GenerationOptions & Constrained,
  ) {
    const { tokenizer, tokens, decoderStart } = source;
    const { constraint } = options;
    this.#begun = decoderStart === undefined ? prompts : prompts.map(() => [decoderStart]);
    this.#options = { ...options, ...tokens, copies, likeliest };
    this.#copies = copies;
    this.#signal = signal;
    this.#alone = alone && prompts.length * copies === 1;
    this.#onToken = onToken;
    const decode = (ids: readonly number[]): string =>
      constraint?.vocabulary.textOf(ids) ?? tokenizer.decode(ids, { skipSpecialTokens: true });
    this.#texts = Array.from({ length: prompts.length * copies }, () => new AnswerText(decode, options.stop));
    this.#ids = this.#texts.map(() => []);
  }

  /** Checks the options and compiles the schema. @throws UserError like {@link writeAnswer}. */
  static async open(
    source: AnswerSource,
    prompts: readonly (readonly number[])[],
    asked: AnswersOptions,
  ): Promise<AnswerWriter> {
    const { signal, alone, jsonSchema, onToken, copies = 1, likeliest, ...given } = asked;
    const { tokenizer, maxLength, tokens, defaults, decoderStart } = source;
    // Beam search is off if tokens are sampled, or several answers or likelihoods are requested.
    const own = given.temperature || copies > 1 || likeliest !== undefined ? { ...defaults, numBeams: 1 } : defaults;
    const options = checkOptions(generationOptions, { ...own, ...given });
    const longest = decoderStart === undefined ? prompts.reduce((most, { length }) => Math.max(most, length), 0) : 1;
    const least = maxLength - longest;
    if (least < 1) {
      throw new UserError(
        `a prompt of ${longest} tokens leaves no room for an answer: the model reads ${maxLength} in all; shorten it`,
      );
    }
    const ended = (): boolean => signal?.aborted === true;
    const constraint = jsonSchema === undefined ? undefined : await constraintOf(jsonSchema, tokenizer, ended);
    const forced = tokens.forcedBosTokenId === undefined ? 0 : 1;
    await constraint?.refuseUnlessPossible(Math.min(options.maxNewTokens, least) - forced, ended);
    return new AnswerWriter(source, prompts, asked, { ...options, constraint });
  }

  /** Yields pieces of the answers as they are generated. */
  async *pieces(): AsyncGenerator<AnswerPiece, void> {
    const arrived: AnswerPiece[] = [];
    let isDone = false;
    let isAbandoned = false;
    let wake = (): void => {};
    const arrive = (piece: AnswerPiece): void => {
      arrived.push(piece);
      wake();
    };
    const writing = this.#write(arrive, () => isAbandoned).finally(() => {
      isDone = true;
      wake();
    });
    // Errors are thrown where the promise is awaited.
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
      // If the caller stops reading, generation stops too.
      isAbandoned = true;
      await writing.catch(() => {});
    }
  }

  async #write(arrive: (piece: AnswerPiece) => void, isAbandoned: () => boolean): Promise<void> {
    const { decoder, adapter, shared, maxLength } = this.source;
    const finish = (answer: number): void =>
      arrive({ answer, text: this.#texts[answer]!.finish(), end: this.endOf(answer) });
    if (this.#options.numBeams > 1) {
      await this.#search(arrive);
      for (const answer of this.#texts.keys()) finish(answer);
      return;
    }
    const asked = promptRows(this.#begun, this.#options, {
      take: (written) => arrive(this.#take(written)),
      ended: (answer) => isAbandoned() || this.#isWhole(answer),
      fail: (error) => {
        this.#failure ??= { error };
      },
      onEnd: finish,
    }).map(({ prompt, rows }): PromptRows => {
      const maxNewTokens = Math.min(this.#options.maxNewTokens, maxLength - prompt.length);
      return { prompt, rows: rows.map((row) => ({ ...row, options: { ...row.options, maxNewTokens } })) };
    });
    if (shared && !this.#alone) {
      await shared.write(asked);
      this.#throwFailure();
      return;
    }
    const reader = decoder.reader(adapter, { sources: this.prompts, alone: this.#alone });
    try {
      const rows = new AnswerRows(reader);
      await rows.begin(asked);
      while (rows.count > 0) await rows.step();
    } finally {
      reader.release();
    }
    this.#throwFailure();
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure.error;
  }

  async #search(arrive: (piece: AnswerPiece) => void): Promise<void> {
    const { decoder, adapter, maxLength } = this.source;
    const longest = Math.max(...this.#begun.map(({ length }) => length));
    const maxNewTokens = Math.min(this.#options.maxNewTokens, maxLength - longest);
    const reader = decoder.reader(adapter, { sources: this.prompts });
    try {
      const options = { ...this.#options, maxNewTokens };
      const found = await beamSearch(reader, this.#begun, options, () => this.#signal?.aborted === true);
      for (const [answer, ids] of found.entries())
        for (const token of ids) arrive(this.#take({ answer, token, isWhole: false }));
    } finally {
      reader.release();
    }
  }

  #take({ answer, token, likelihood, isWhole }: WrittenToken): AnswerPiece {
    const text = this.#texts[answer]!;
    this.#ids[answer]!.push(token);
    if (isWhole) this.#whole.add(answer);
    this.#onToken?.(likelihood);
    return { answer, text: this.#isEnd(token) || text.stopped ? "" : text.push(token), likelihood };
  }

  #isEnd(token: number): boolean {
    return this.#options.eosTokenIds.includes(token);
  }

  /** Whether an answer is complete without an end token. */
  #isWhole(answer: number): boolean {
    if (this.#texts[answer]!.stopped || this.#signal?.aborted === true || this.#failure) return true;
    return this.#whole.has(answer);
  }

  endOf(answer: number): AnswerEnd {
    const ids = this.#ids[answer]!;
    const whole = this.#isEnd(ids.at(-1)!) || this.#isWhole(answer);
    return {
      reason: whole ? "stop" : "length",
      promptTokens: this.prompts[Math.floor(answer / this.#copies)]!.length,
      answerTokens: ids.length,
    };
  }
}
