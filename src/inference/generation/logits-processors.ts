import type { AnswerConstraint } from "./constrained/answer-constraint.ts";
import type { GenerationOptions, GenerationTokens } from "./generation-options.ts";

/** What answers must be like. */
export interface Constrained {
  constraint?: AnswerConstraint | undefined;
}

/** What scores of the next token are changed by. */
export type ScoreRules = Pick<
  GenerationOptions,
  "maxNewTokens" | "minNewTokens" | "repetitionPenalty" | "presencePenalty" | "frequencyPenalty" | "noRepeatNgramSize"
> &
  GenerationTokens &
  Constrained;

/**
 * Changes scores of the next token in place, in the order of transformers' `LogitsProcessor`s: repetition penalty
 * (Keskar et al., arXiv 1909.05858), OpenAI's penalties
 * (https://platform.openai.com/docs/api-reference/chat/create), no repeated n-grams, least length, forced tokens. Where answers are held to a grammar, it says
 * alone what may come: repeats and ends are its own.
 * @param scores `[vocabulary]`, logits or log-probabilities
 * @param ids what was read and written so far
 * @param written how many of `ids`, from the end, the model has written itself
 */
export function processScores(scores: Float32Array, ids: readonly number[], written: number, rules: ScoreRules): void {
  const { repetitionPenalty, noRepeatNgramSize, minNewTokens, maxNewTokens, eosTokenIds } = rules;
  if (repetitionPenalty !== 1) penalise(scores, ids, repetitionPenalty);
  if (rules.presencePenalty !== 0 || rules.frequencyPenalty !== 0)
    penaliseOwn(scores, ids.slice(ids.length - written), rules);
  if (rules.constraint && (rules.forcedBosTokenId === undefined || ids.length > 1)) {
    const own = ids.slice(ids.length - written);
    rules.constraint.apply(scores, own, maxNewTokens - written, eosTokenIds);
    return;
  }
  if (noRepeatNgramSize > 0) banRepeated(scores, ids, noRepeatNgramSize);
  if (written < minNewTokens) for (const id of eosTokenIds) scores[id] = Number.NEGATIVE_INFINITY;
  // An encoder-decoder's own text begins with one token that it did not write.
  if (rules.forcedBosTokenId !== undefined && ids.length === 1) force(scores, rules.forcedBosTokenId);
  if (rules.forcedEosTokenId !== undefined && written === maxNewTokens - 1) force(scores, rules.forcedEosTokenId);
}

function penalise(scores: Float32Array, ids: readonly number[], penalty: number): void {
  for (const id of new Set(ids)) scores[id] = scores[id]! < 0 ? scores[id]! * penalty : scores[id]! / penalty;
}

/** Scores of what an answer has already, by whether and how often it is there. */
function penaliseOwn(
  scores: Float32Array,
  own: readonly number[],
  { presencePenalty, frequencyPenalty }: Pick<ScoreRules, "presencePenalty" | "frequencyPenalty">,
): void {
  for (const id of own) scores[id]! -= frequencyPenalty;
  for (const id of new Set(own)) scores[id]! -= presencePenalty;
}

/** No token may end a run of `size` tokens that stands in `ids` already. */
function banRepeated(scores: Float32Array, ids: readonly number[], size: number): void {
  const begun = ids.length - size + 1;
  if (begun < 0) return;
  for (let start = 0; start < begun; start++) {
    let same = 0;
    while (same < size - 1 && ids[start + same] === ids[begun + same]) same++;
    if (same === size - 1) scores[ids[start + size - 1]!] = Number.NEGATIVE_INFINITY;
  }
}

function force(scores: Float32Array, id: number): void {
  scores.fill(Number.NEGATIVE_INFINITY);
  scores[id] = 0;
}

/** Log-probabilities of logits `[vocabulary]`, in place. */
export function logSoftmaxInPlace(logits: Float32Array): Float32Array {
  let highest = Number.NEGATIVE_INFINITY;
  for (const value of logits) if (value > highest) highest = value;
  let sum = 0;
  for (const value of logits) sum += Math.exp(value - highest);
  const shift = highest + Math.log(sum);
  for (let i = 0; i < logits.length; i++) logits[i]! -= shift;
  return logits;
}
