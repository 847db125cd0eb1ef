import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import { drawToken, likeliest, refuseOverflow } from "./choose-token.ts";
import type { AllowedTokens, HeldAnswer } from "./constrained/answer-constraint.ts";
import type { GenerationOptions, GenerationTokens } from "./generation-options.ts";
import { type Constrained, processScores } from "./logits-processors.ts";
import { PromptLookup } from "./prompt-lookup.ts";
import type { TextReader } from "./text-reader.ts";
import { likelihoods, type TokenLikelihood } from "./token-likelihood.ts";

export interface LikelihoodOptions {
  /** Number of likeliest alternatives to report with each token's likelihood (default: likelihoods are not reported). */
  likeliest?: number | undefined;
}

export type RowOptions = Omit<GenerationOptions, "numBeams" | "lengthPenalty" | "earlyStopping" | "stop"> &
  GenerationTokens &
  Constrained &
  LikelihoodOptions;

export interface AnswerRow {
  options: RowOptions;
  random: RandomGenerator;
  take(token: number, likelihood: TokenLikelihood | undefined, isWhole: boolean): void;
  ended(): boolean;
  /** Receives the error that stops this answer; the others continue. By default, all of them fail. */
  fail?(error: unknown): void;
  onEnd?(): void;
}

export interface PromptRows {
  prompt: readonly number[];
  rows: readonly AnswerRow[];
}

interface RunningRow extends AnswerRow {
  /** Prompt and generated tokens; the model has not read the last token yet. */
  ids: number[];
  read: number;
  logits: Float32Array;
  lookup: PromptLookup;
  held: HeldAnswer | undefined;
}

/**
 * Answers that are generated in parallel, one token per step. When one ends, the others continue, and new ones may begin. Parallel
 * answers do not change each other.
 */
export class AnswerRows {
  #running: RunningRow[] = [];

  constructor(private readonly reader: TextReader) {}

  get count(): number {
    return this.#running.length;
  }

  /** Begins answers; while others are in progress, only if the reader can {@link TextReader.join}. */
  async begin(asked: readonly PromptRows[]): Promise<void> {
    const promptOf = asked.flatMap(({ rows }, i) => rows.map(() => i));
    let logits: Float32Array[];
    if (this.reader.join) {
      logits = await this.reader.join(promptOf.map((i) => asked[i]!.prompt));
    } else {
      const each = await this.reader.read(asked.map(({ prompt }) => prompt));
      if (promptOf.length > asked.length) this.reader.keep(promptOf);
      logits = promptOf.map((i) => each[i]!.slice());
    }
    const rows = asked.flatMap(({ prompt, rows }) => rows.map((row) => ({ prompt, row })));
    rows.forEach(({ prompt, row }, i) => {
      const held = row.options.constraint?.begin();
      const own = { ids: [...prompt], read: prompt.length, logits: logits[i]!, lookup: new PromptLookup(), held };
      this.#running.push({ ...own, ...row });
    });
  }

  async step(): Promise<void> {
    const all = this.#running;
    const remaining: number[] = [];
    for (const [i, row] of all.entries()) if (await this.#write(row)) remaining.push(i);
    if (remaining.length < all.length) this.reader.keep(remaining);
    this.#running = remaining.map((i) => all[i]!);
    for (const row of all) if (!this.#running.includes(row)) row.onEnd?.();
    const [first, ...others] = this.#running;
    if (!first) return;
    if (others.length === 0) return this.#readAlone(first);
    const logits = await this.reader.read(this.#running.map(({ ids }) => [ids.at(-1)!]));
    for (const [i, row] of this.#running.entries()) row.logits = logits[i]!;
  }

  async #write(row: RunningRow): Promise<boolean> {
    if (row.ended()) return false;
    try {
      const allowed = await row.held?.allowed(() => row.ended());
      // The caller may have left meanwhile.
      if (row.held && (!allowed || row.ended())) return false;
      return await this.#choose(row, allowed);
    } catch (error) {
      if (!row.fail) throw error;
      row.fail(error);
      return false;
    }
  }

  async #choose(row: RunningRow, allowed: AllowedTokens | undefined): Promise<boolean> {
    const { ids, logits: scores, options } = row;
    const written = ids.length - row.read;
    const likelihoodOf = options.likeliest === undefined ? undefined : likelihoods(scores, options.likeliest);
    processScores(scores, ids, written, options, allowed);
    const token = options.temperature === 0 ? likeliest(scores) : drawToken(scores, options, row.random);
    refuseOverflow(scores[token]!);
    ids.push(token);
    row.held = await row.held?.with(token, () => row.ended());
    const isWhole = row.held?.isWhole ?? false;
    row.take(token, likelihoodOf?.(token), isWhole);
    return !(isWhole || options.eosTokenIds.includes(token) || written + 1 >= options.maxNewTokens || row.ended());
  }

  /** Reads the last token of the only remaining answer with guesses of the next ones, and generates tokens while the guesses are right. */
  async #readAlone(row: RunningRow): Promise<void> {
    const { ids, options, lookup } = row;
    for (;;) {
      const last = ids.at(-1)!;
      const left = options.maxNewTokens - (ids.length - row.read);
      const proposed = this.reader.readEach ? lookup.propose(ids, left - 1, this.reader.readsPairs) : [];
      if (proposed.length === 0) {
        [row.logits] = (await this.reader.read([[last]])) as [Float32Array];
        return;
      }
      const each = await this.reader.readEach!([last, ...proposed]);
      let right = 0;
      let continues = true;
      while (continues && right < proposed.length) {
        row.logits = each[right]!;
        continues = await this.#write(row);
        if (ids.at(-1) !== proposed[right]) break;
        right++;
      }
      lookup.learn(proposed.length, right);
      this.reader.forget!(proposed.length - right);
      if (!continues) {
        this.reader.keep([]);
        this.#running = [];
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
