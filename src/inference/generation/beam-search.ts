import type { GenerationOptions, GenerationTokens } from "./generation-options.ts";
import { type Constrained, logSoftmaxInPlace, processScores } from "./logits-processors.ts";
import type { TextReader } from "./text-reader.ts";

/** Added to a score that must not win, as transformers does. */
const NEVER = -1e9;

interface Beam {
  /** What was written. */
  ids: readonly number[];
  score: number;
}

interface FinishedBeam extends Beam {
  /** Whether it is an answer; until there are enough, others stand in. */
  whole: boolean;
}

/** A beam with one more token. */
interface Continuation extends Beam {
  /** Which of the beams it goes on from. */
  from: number;
  ends: boolean;
}

export type BeamOptions = Omit<GenerationOptions, "temperature" | "topK" | "topP" | "seed" | "stop"> &
  GenerationTokens &
  Constrained;

/**
 * Searches for the likeliest answer to each prompt with beams, as transformers' `generate(num_beams=…)` does: `numBeams`
 * beams run, answers that end are set aside by their score over `length ** lengthPenalty`, and the search ends where no beam can
 * come to a better one.
 * @param reader has read nothing yet
 * @param prompts ids, special tokens included
 * @param ended asked before each token: whether the caller has enough, and takes the best so far
 * @returns what was written after each prompt, its end token included
 */
export async function beamSearch(
  reader: TextReader,
  prompts: readonly (readonly number[])[],
  options: BeamOptions,
  ended: () => boolean = () => false,
): Promise<number[][]> {
  const { numBeams } = options;
  const beams = Array.from({ length: numBeams });
  const all = prompts.map((prompt) => new BeamsOfPrompt(prompt, options));
  let logits: Float32Array[] = (await reader.read(prompts)).flatMap((each) => beams.map(() => each.slice()));
  reader.keep(prompts.flatMap((_, i) => beams.map(() => i)));
  let going = all;
  while (going.length > 0) {
    const texts: number[] = [];
    going = going.filter((search, i) => {
      const first = i * numBeams;
      const from = search.advance(logits.slice(first, first + numBeams));
      texts.push(...(from ?? []).map((beam) => first + beam));
      return from !== undefined;
    });
    if (going.length === 0 || ended()) break;
    reader.keep(texts);
    logits = await reader.read(going.flatMap(({ running }) => running.map(({ ids }) => [ids.at(-1)!])));
  }
  return all.map(({ best }) => [...best]);
}

/** The beams of one prompt. */
class BeamsOfPrompt {
  /** `numBeams`, best first. */
  running: Beam[];
  #finished: FinishedBeam[];
  readonly #prompt: readonly number[];
  readonly #options: BeamOptions;

  constructor(prompt: readonly number[], options: BeamOptions) {
    this.#prompt = prompt;
    this.#options = options;
    // All begin alike: only the first counts, or each would go on with the same tokens.
    this.running = Array.from({ length: options.numBeams }, (_, i) => ({ ids: [], score: i === 0 ? 0 : NEVER }));
    this.#finished = this.running.map(() => ({ ids: [], score: NEVER, whole: false }));
  }

  /** The best answer; where none is whole yet, what may become it. */
  get best(): readonly number[] {
    const [first] = this.#finished as [FinishedBeam];
    return first.whole ? first.ids : this.running[0]!.ids;
  }

  /**
   * Takes each beam one token on.
   * @param logits of each running beam's next token, changed
   * @returns which beam each of the running ones came from; undefined where the search has ended
   */
  advance(logits: readonly Float32Array[]): number[] | undefined {
    const { numBeams, earlyStopping } = this.#options;
    const continuations = this.#best(logits);
    const next = descending(continuations.map((each) => ({ ...each, score: each.score + (each.ends ? NEVER : 0) })));
    this.#setAside(continuations);
    const chosen = next.slice(0, numBeams);
    this.running = chosen;
    const enough = earlyStopping === true && this.#finished.every(({ whole }) => whole);
    const goesOn = this.#mayImprove() && !enough && continuations.some(({ ends }) => !ends);
    return goesOn ? chosen.map(({ from }) => from) : undefined;
  }

  /** The likeliest continuations of all beams: so many that `numBeams` go on even where others end. */
  #best(logits: readonly Float32Array[]): Continuation[] {
    const { numBeams, eosTokenIds, maxNewTokens } = this.#options;
    const count = Math.max(2, 1 + eosTokenIds.length) * numBeams;
    const highest = new Highest(count);
    this.running.forEach(({ ids, score }, beam) => {
      const scores = logSoftmaxInPlace(logits[beam]!);
      processScores(scores, [...this.#prompt, ...ids], ids.length, this.#options);
      scores.forEach((logProbability, token) => {
        highest.offer(logProbability + score, beam, token);
      });
    });
    return highest.descending().map(({ score, beam, token }) => {
      const ids = [...this.running[beam]!.ids, token];
      return { ids, score, from: beam, ends: eosTokenIds.includes(token) || ids.length >= maxNewTokens };
    });
  }

  /** Keeps the best answers among those known and those that just ended; only the first `numBeams` may. */
  #setAside(continuations: readonly Continuation[]): void {
    const { numBeams, lengthPenalty } = this.#options;
    const ended = continuations.map(({ ids, score, ends }, rank): FinishedBeam => {
      const whole = ends && rank < numBeams;
      return { ids, whole, score: score / ids.length ** lengthPenalty + (whole ? 0 : NEVER) };
    });
    this.#finished = descending([...this.#finished, ...ended]).slice(0, numBeams);
  }

  /** Whether the best running beam may still come to a better score than the worst answer. */
  #mayImprove(): boolean {
    const { lengthPenalty, earlyStopping, maxNewTokens } = this.#options;
    const [{ ids, score }] = this.running as [Beam];
    const length = earlyStopping === "never" && lengthPenalty > 0 ? maxNewTokens : ids.length;
    const possible = score / length ** lengthPenalty;
    const worst = Math.min(...this.#finished.map((each) => each.score));
    return this.#finished.some(({ whole }) => possible > (whole ? worst : NEVER));
  }
}

/** Best first; equals stay in their order. */
const descending = <T extends Beam>(beams: readonly T[]): T[] => [...beams].sort((a, b) => b.score - a.score);

interface Scored {
  score: number;
  beam: number;
  token: number;
}

/** The highest of many scores. */
class Highest {
  readonly #count: number;
  readonly #kept: Scored[] = [];
  #lowest = Number.NEGATIVE_INFINITY;

  constructor(count: number) {
    this.#count = count;
  }

  offer(score: number, beam: number, token: number): void {
    if (this.#kept.length >= this.#count && score <= this.#lowest) return;
    let place = this.#kept.length;
    while (place > 0 && this.#kept[place - 1]!.score < score) place--;
    this.#kept.splice(place, 0, { score, beam, token });
    if (this.#kept.length > this.#count) this.#kept.pop();
    this.#lowest = this.#kept.at(-1)!.score;
  }

  descending(): readonly Scored[] {
    return this.#kept;
  }
}
