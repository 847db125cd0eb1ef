import { refuseOverflow } from "./choose-token.ts";
import type { AllowedTokens, HeldAnswer } from "./constrained/answer-constraint.ts";
import type { GenerationOptions, GenerationTokens } from "./generation-options.ts";
import { type Constrained, logSoftmaxInPlace, processScores } from "./logits-processors.ts";
import type { TextReader } from "./text-reader.ts";

/** Added to a score that must not win, as in transformers. */
const EXCLUDED = -1e9;

interface Beam {
  ids: readonly number[];
  score: number;
}

interface RunningBeam extends Beam {
  held: HeldAnswer | undefined;
}

interface FinishedBeam extends Beam {
  /** Whether it is a complete answer; until there are enough, placeholders fill the list. */
  whole: boolean;
}

interface Continuation extends Beam {
  from: number;
  ends: boolean;
}

export type BeamOptions = Omit<GenerationOptions, "temperature" | "topK" | "topP" | "seed" | "stop"> &
  GenerationTokens &
  Constrained;

/**
 * Searches for the likeliest answer to each prompt with beams, as in transformers' `generate(num_beams=…)`: `numBeams`
 * beams are extended, complete answers are kept with their score over `length ** lengthPenalty`, and the search ends if no beam can
 * reach a better score.
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
    const remaining: BeamsOfPrompt[] = [];
    for (const [i, search] of going.entries()) {
      const first = i * numBeams;
      const from = await search.advance(logits.slice(first, first + numBeams), ended);
      texts.push(...(from ?? []).map((beam) => first + beam));
      if (from) remaining.push(search);
    }
    going = remaining;
    if (going.length === 0 || ended()) break;
    reader.keep(texts);
    logits = await reader.read(going.flatMap(({ running }) => running.map(({ ids }) => [ids.at(-1)!])));
  }
  return all.map(({ best }) => [...best]);
}

class BeamsOfPrompt {
  running: RunningBeam[];
  #finished: FinishedBeam[];

  constructor(
    private readonly prompt: readonly number[],
    private readonly options: BeamOptions,
  ) {
    // All begin equally: only the first counts, or each would continue with the same tokens.
    const held = options.constraint?.begin();
    this.running = Array.from({ length: options.numBeams }, (_, i) => ({
      ids: [],
      score: i === 0 ? 0 : EXCLUDED,
      held,
    }));
    this.#finished = this.running.map(({ ids }) => ({ ids, score: EXCLUDED, whole: false }));
  }

  get best(): readonly number[] {
    const [first] = this.#finished as [FinishedBeam];
    return first.whole ? first.ids : this.running[0]!.ids;
  }

  async advance(logits: readonly Float32Array[], ended: () => boolean): Promise<number[] | undefined> {
    const { numBeams, earlyStopping } = this.options;
    const allowed: (AllowedTokens | undefined)[] = [];
    for (const { held } of this.running) {
      const next = await held?.allowed(ended);
      if (held && !next) return undefined;
      allowed.push(next);
    }
    const continuations = this.#best(logits, allowed);
    const next = descending(continuations.map((each) => ({ ...each, score: each.score + (each.ends ? EXCLUDED : 0) })));
    this.#setAside(continuations);
    const chosen = next.slice(0, numBeams);
    const running: RunningBeam[] = [];
    for (const { ids, score, from } of chosen) {
      const { held: before } = this.running[from]!;
      const held = await before?.with(ids.at(-1)!, ended);
      if (before && !held) return undefined;
      running.push({ ids, score, held });
    }
    this.running = running;
    const enough = earlyStopping === true && this.#finished.every(({ whole }) => whole);
    const continues = this.#mayImprove() && !enough && continuations.some(({ ends }) => !ends);
    return continues ? chosen.map(({ from }) => from) : undefined;
  }

  /** The likeliest continuations of all beams: enough for `numBeams` to continue even if others end. */
  #best(logits: readonly Float32Array[], allowed: readonly (AllowedTokens | undefined)[]): Continuation[] {
    const { numBeams, eosTokenIds, maxNewTokens } = this.options;
    const count = Math.max(2, 1 + eosTokenIds.length) * numBeams;
    const highest = new Highest(count);
    this.running.forEach(({ ids, score }, beam) => {
      const scores = logSoftmaxInPlace(logits[beam]!);
      refuseOverflow(scores[0]!);
      processScores(scores, [...this.prompt, ...ids], ids.length, this.options, allowed[beam]);
      scores.forEach((logProbability, token) => {
        highest.offer(logProbability + score, beam, token);
      });
    });
    return highest.descending().map(({ score, beam, token }) => {
      const ids = [...this.running[beam]!.ids, token];
      return {
        ids,
        score,
        from: beam,
        ends: eosTokenIds.includes(token) || ids.length >= maxNewTokens,
      };
    });
  }

  /** Keeps the best of the known answers and those that just ended; only the first `numBeams` continuations qualify. */
  #setAside(continuations: readonly Continuation[]): void {
    const { numBeams, lengthPenalty } = this.options;
    const ended = continuations.map(({ ids, score, ends }, rank): FinishedBeam => {
      const whole = ends && rank < numBeams;
      return { ids, whole, score: score / ids.length ** lengthPenalty + (whole ? 0 : EXCLUDED) };
    });
    this.#finished = descending([...this.#finished, ...ended]).slice(0, numBeams);
  }

  #mayImprove(): boolean {
    const { lengthPenalty, earlyStopping, maxNewTokens } = this.options;
    const [{ ids, score }] = this.running as [RunningBeam];
    const length = earlyStopping === "never" && lengthPenalty > 0 ? maxNewTokens : ids.length;
    const possible = score / length ** lengthPenalty;
    const worst = Math.min(...this.#finished.map((each) => each.score));
    return this.#finished.some(({ whole }) => possible > (whole ? worst : EXCLUDED));
  }
}

const descending = <T extends Beam>(beams: readonly T[]): T[] => [...beams].sort((a, b) => b.score - a.score);

interface Scored {
  score: number;
  beam: number;
  token: number;
}

class Highest {
  readonly #kept: Scored[] = [];
  #lowest = Number.NEGATIVE_INFINITY;

  constructor(private readonly count: number) {}

  offer(score: number, beam: number, token: number): void {
    if (this.#kept.length >= this.count && score <= this.#lowest) return;
    let place = this.#kept.length;
    while (place > 0 && this.#kept[place - 1]!.score < score) place--;
    this.#kept.splice(place, 0, { score, beam, token });
    if (this.#kept.length > this.count) this.#kept.pop();
    this.#lowest = this.#kept.at(-1)!.score;
  }

  descending(): readonly Scored[] {
    return this.#kept;
  }
}
