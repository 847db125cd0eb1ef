import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import { drawToken, likeliest } from "./choose-token.ts";
import type { GenerationOptions, GenerationTokens } from "./generation-options.ts";
import { type Constrained, processScores } from "./logits-processors.ts";
import { PromptLookup } from "./prompt-lookup.ts";
import type { TextReader } from "./text-reader.ts";
import { likelihoods, type TokenLikelihood } from "./token-likelihood.ts";

/** What is told of an answer's tokens. */
export interface ToldTokens {
  /** With each token comes its likelihood, and those of so many that are the likeliest in its place. */
  likeliest?: number | undefined;
}

/** How one answer is written. */
export type RowOptions = Omit<GenerationOptions, "numBeams" | "lengthPenalty" | "earlyStopping" | "stop"> &
  GenerationTokens &
  Constrained &
  ToldTokens;

/** An answer that is to be written. */
export interface AnswerRow {
  options: RowOptions;
  /** What it draws by. */
  random: RandomGenerator;
  /** Takes a token, the end token too. */
  take(token: number, likelihood: TokenLikelihood | undefined): void;
  /** Asked after each token, and before the next: whether the caller has enough. */
  ended(): boolean;
  /** Told when it is whole, or left. */
  onEnd?(): void;
}

/** A prompt with the answers to it. */
export interface AskedPrompt {
  prompt: readonly number[];
  rows: readonly AnswerRow[];
}

/** An answer that is being written. */
interface GoingRow extends AnswerRow {
  /** What was read and written; the last token is not read yet. */
  ids: number[];
  /** How many of these are the prompt's. */
  read: number;
  /** Of the token that comes next; changed as it is chosen. */
  logits: Float32Array;
  lookup: PromptLookup;
}

/**
 * Answers that are written side by side, a token each in turn: where one ends, the others go on, and others may begin beside them. What stands
 * beside an answer changes nothing in it.
 */
export class AnswerRows {
  readonly #reader: TextReader;
  #going: GoingRow[] = [];

  /** @param reader has read nothing yet */
  constructor(reader: TextReader) {
    this.#reader = reader;
  }

  get count(): number {
    return this.#going.length;
  }

  /** Begins answers; beside others only where the reader can {@link TextReader.join}. @throws UserError where a prompt is too long. */
  async begin(asked: readonly AskedPrompt[]): Promise<void> {
    const promptOf = asked.flatMap(({ rows }, i) => rows.map(() => i));
    let logits: Float32Array[];
    if (this.#reader.join) {
      logits = await this.#reader.join(promptOf.map((i) => asked[i]!.prompt));
    } else {
      const each = await this.#reader.read(asked.map(({ prompt }) => prompt));
      if (promptOf.length > asked.length) this.#reader.keep(promptOf);
      logits = promptOf.map((i) => each[i]!.slice());
    }
    const rows = asked.flatMap(({ prompt, rows }) => rows.map((row) => ({ prompt, row })));
    rows.forEach(({ prompt, row }, i) => {
      const own = { ids: [...prompt], read: prompt.length, logits: logits[i]!, lookup: new PromptLookup() };
      this.#going.push({ ...own, ...row });
    });
  }

  /** Writes a token of each answer, or some where they can be foreseen, and reads on. */
  async step(): Promise<void> {
    const all = this.#going;
    const still = [...all.keys()].filter((i) => this.#write(all[i]!));
    if (still.length < all.length) this.#reader.keep(still);
    this.#going = still.map((i) => all[i]!);
    for (const row of all) if (!this.#going.includes(row)) row.onEnd?.();
    const [first, ...others] = this.#going;
    if (!first) return;
    if (others.length === 0) return this.#readAlone(first);
    const logits = await this.#reader.read(this.#going.map(({ ids }) => [ids.at(-1)!]));
    for (const [i, row] of this.#going.entries()) row.logits = logits[i]!;
  }

  /** Chooses a row's next token. @returns whether it goes on */
  #write(row: GoingRow): boolean {
    if (row.ended()) return false;
    const { ids, logits: scores, options } = row;
    const written = ids.length - row.read;
    const likelihoodOf = options.likeliest === undefined ? undefined : likelihoods(scores, options.likeliest);
    processScores(scores, ids, written, options);
    const token = options.temperature === 0 ? likeliest(scores) : drawToken(scores, options, row.random);
    ids.push(token);
    row.take(token, likelihoodOf?.(token));
    return !(options.eosTokenIds.includes(token) || written + 1 >= options.maxNewTokens || row.ended());
  }

  /** Reads the last token of the one row that is left, with those that may come next: as long as these come, they are written. */
  async #readAlone(row: GoingRow): Promise<void> {
    const { ids, options, lookup } = row;
    for (;;) {
      const last = ids.at(-1)!;
      const left = options.maxNewTokens - (ids.length - row.read);
      const proposed = this.#reader.readEach ? lookup.propose(ids, left - 1, this.#reader.readsPairs) : [];
      if (proposed.length === 0) {
        [row.logits] = (await this.#reader.read([[last]])) as [Float32Array];
        return;
      }
      const each = await this.#reader.readEach!([last, ...proposed]);
      let right = 0;
      let goesOn = true;
      while (goesOn && right < proposed.length) {
        row.logits = each[right]!;
        goesOn = this.#write(row);
        if (ids.at(-1) !== proposed[right]) break;
        right++;
      }
      lookup.learn(proposed.length, right);
      this.#reader.forget!(proposed.length - right);
      if (!goesOn) {
        this.#reader.keep([]);
        this.#going = [];
        row.onEnd?.();
        return;
      }
      if (right === proposed.length) {
        row.logits = each[right]!;
        return;
      }
    }
  }
}
