import { type RougeScores, rouge } from "./rouge.ts";
import { sentencesOf } from "./sentences.ts";

/** How good answers are beside their references, 0 to 1 each. */
export interface AnswerScores extends RougeScores {
  /** Share of answers that are their reference, white space around them apart. */
  exact_match: number;
  /** Share of answers whose last number is the reference's; absent where a reference has none. */
  last_number?: number;
}

/** How answers are scored. */
export interface ScoringOptions {
  /** Whether ROUGE-Lsum takes each sentence for one, wherever lines end; else each line is a sentence. */
  splitSentences?: boolean | undefined;
}

/** Scores of answers that a model wrote. */
export function scoreAnswers(
  answers: readonly string[],
  references: readonly string[],
  { splitSentences = false }: ScoringOptions = {},
): AnswerScores {
  const mean = (score: (answer: string, reference: string) => number): number =>
    references.reduce((sum, reference, i) => sum + score(answers[i]!, reference), 0) / references.length;
  const lines = (text: string): string => (splitSentences ? sentencesOf(text).join("\n") : text);
  const rouges = references.map((reference, i) => rouge(lines(answers[i]!), lines(reference)));
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

/** Numbers that differ by less are the same: the released GSM8K code's. */
const NEAR = 1e-3;

function sameNumber(answer: string, reference: string): boolean {
  const found = lastNumber(answer);
  return found !== undefined && Math.abs(found - lastNumber(reference)!) <= NEAR;
}

/**
 * What a text comes to: the number after GSM8K's `####` where there is one, else the last number in it; commas between digits
 * are left out.
 */
export function lastNumber(text: string): number | undefined {
  const final = /####\s*([^\n]*)/.exec(text)?.[1];
  const numbers = (final ?? text).match(/-?(?:\d[\d,]*(?:\.\d+)?|\.\d+)/g) ?? [];
  const chosen = final === undefined ? numbers.at(-1) : numbers[0];
  return chosen === undefined ? undefined : Number(chosen.replaceAll(",", ""));
}
