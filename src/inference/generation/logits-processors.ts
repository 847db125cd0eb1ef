import type { AllowedTokens, AnswerConstraint } from "./constrained/answer-constraint.ts";
import type { GenerationOptions, GenerationTokens } from "./generation-options.ts";

export interface Constrained {
  constraint?: AnswerConstraint | undefined;
}

export type ScoreRules = Pick<
  GenerationOptions,
  "maxNewTokens" | "minNewTokens" | "repetitionPenalty" | "presencePenalty" | "frequencyPenalty" | "noRepeatNgramSize"
> &
  GenerationTokens &
  Constrained;

/**
 * Changes scores of the next token in place, in the order of transformers' `LogitsProcessor`s: repetition penalty
 * (Keskar et al., arXiv 1909.05858), OpenAI's penalties (https://platform.openai.com/docs/api-reference/chat/create),
 * no repeated n-grams, minimum length, forced tokens. If a grammar constrains answers, it alone decides which tokens are allowed,
 * including repetitions and the end.
 * @param scores `[vocabulary]`, logits or log-probabilities
 */
export function processScores(
  scores: Float32Array,
  ids: readonly number[],
  written: number,
  rules: ScoreRules,
  allowed?: AllowedTokens,
): void {
  const { repetitionPenalty, noRepeatNgramSize, minNewTokens, maxNewTokens, eosTokenIds } = rules;
  if (repetitionPenalty !== 1) penalise(scores, ids, repetitionPenalty);
  if (rules.presencePenalty !== 0 || rules.frequencyPenalty !== 0)
    penaliseOwn(scores, ids.slice(ids.length - written), rules);
  // An encoder-decoder's own text begins with one token that it did not generate.
  const isForced = rules.forcedBosTokenId !== undefined && ids.length === 1;
  if (allowed && !isForced) {
    allowed.apply(scores, maxNewTokens - written, eosTokenIds);
    return;
  }
  if (noRepeatNgramSize > 0) banRepeated(scores, ids, noRepeatNgramSize);
  if (written < minNewTokens) for (const id of eosTokenIds) scores[id] = Number.NEGATIVE_INFINITY;
  if (isForced) force(scores, rules.forcedBosTokenId!);
  if (rules.forcedEosTokenId !== undefined && written === maxNewTokens - 1) force(scores, rules.forcedEosTokenId);
}

function penalise(scores: Float32Array, ids: readonly number[], penalty: number): void {
  for (const id of new Set(ids)) scores[id] = scores[id]! < 0 ? scores[id]! * penalty : scores[id]! / penalty;
}

function penaliseOwn(
  scores: Float32Array,
  own: readonly number[],
  { presencePenalty, frequencyPenalty }: Pick<ScoreRules, "presencePenalty" | "frequencyPenalty">,
): void {
  for (const id of own) scores[id]! -= frequencyPenalty;
  for (const id of new Set(own)) scores[id]! -= presencePenalty;
}

/** Excludes tokens that would complete an n-gram of `size` tokens that occurs in `ids` already. */
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

/** Converts logits `[vocabulary]` to log-probabilities, in place. */
export function logSoftmaxInPlace(logits: Float32Array): Float32Array {
  let highest = Number.NEGATIVE_INFINITY;
  for (const value of logits) if (value > highest) highest = value;
  let sum = 0;
  for (const value of logits) sum += Math.exp(value - highest);
  const shift = highest + Math.log(sum);
  for (let i = 0; i < logits.length; i++) logits[i]! -= shift;
  return logits;
}
