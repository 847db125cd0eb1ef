import { atOnce, type Sliced } from "../../runtime/slices.ts";
import { type RougeScores, slicedRouge } from "./rouge.ts";
import { sentencesOf } from "./sentences.ts";

/** Scores of answers compared with their references, 0 to 1 each. */
export interface AnswerScores extends RougeScores {
  /** Share of answers that equal their reference, except for surrounding white space. */
  exact_match: number;
  /** Share of answers whose last number is that of the reference; undefined if a reference has none. */
  last_number?: number;
}

/**
 * Scores of answers that a model generated.
 * @param options `splitSentences`: whether ROUGE-Lsum splits texts into sentences (default: each line is a sentence)
 * @example
 * ```ts
 * const { exact_match } = scoreAnswers(["4", "5"], ["4", "6"]); // 0.5
 * ```
 */
export const scoreAnswers = (
  answers: readonly string[],
  references: readonly string[],
  options: { splitSentences?: boolean | undefined } = {},
): AnswerScores => atOnce(slicedScores(answers, references, options));

export function* slicedScores(
  answers: readonly string[],
  references: readonly string[],
  { splitSentences = false }: { splitSentences?: boolean | undefined } = {},
): Sliced<AnswerScores> {
  const mean = (score: (answer: string, reference: string) => number): number =>
    references.reduce((sum, reference, i) => sum + score(answers[i]!, reference), 0) / references.length;
  const lines = (text: string): string => (splitSentences ? sentencesOf(text).join("\n") : text);
  const rouges: RougeScores[] = [];
  for (const [i, reference] of references.entries()) {
    rouges.push(yield* slicedRouge(lines(answers[i]!), lines(reference)));
  }
  const meanRouge = (name: keyof RougeScores): number =>
    rouges.reduce((sum, scores) => sum + scores[name], 0) / rouges.length;
  const numbers = references.every((reference) => lastNumber(reference) !== undefined);
  return {
    exact_match: mean((answer, reference) => Number(answer.trim() === reference.trim())),
    ...(numbers && { last_number: mean((answer, reference) => Number(sameNumber(answer, reference))) }),
    rouge1: meanRouge("rouge1"),
    rouge2: meanRouge("rouge2"),
    rougeL: meanRouge("rougeL"),
    rougeLsum: meanRouge("rougeLsum"),
  };
}

/** Numbers that differ by at most this are equal, as in the released GSM8K code. */
const TOLERANCE = 1e-3;

function sameNumber(answer: string, reference: string): boolean {
  const found = lastNumber(answer);
  return found !== undefined && Math.abs(found - lastNumber(reference)!) <= TOLERANCE;
}

/**
 * Final number of a text: the number after GSM8K's `####` if there is one, otherwise the last number in it. Commas between digits
 * are removed.
 */
export function lastNumber(text: string): number | undefined {
  const final = /####\s*([^\n]*)/.exec(text)?.[1];
  const numbers = (final ?? text).match(/-?(?:\d[\d,]*(?:\.\d+)?|\.\d+)/g) ?? [];
  const chosen = final === undefined ? numbers.at(-1) : numbers[0];
  return chosen === undefined ? undefined : Number(chosen.replaceAll(",", ""));
}
