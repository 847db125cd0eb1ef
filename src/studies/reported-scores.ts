import { join } from "node:path";
import { z } from "zod";
import { UserError } from "../errors.ts";
import { readJsonFile } from "../files/json-file-node.ts";
import { type RunEvaluation, SAME_ANSWER } from "../runs/evaluate-run.ts";
import { mean } from "./statistics.ts";

export interface Reported {
  /** Scores on the data's own validation examples, or on those of a file, which had no part in any choice (default: the run's). */
  ownSplits?: true | undefined;
  validation?: string | undefined;
  /** Number of these examples to answer; the answers are scored. */
  generate?: number | undefined;
}

/** Whether the scores are on data that had no part in any choice. */
export const isApart = (reported: Reported | undefined): boolean =>
  reported?.ownSplits === true || reported?.validation !== undefined;

export const REPORTED = "reported.json";

const byMetric = z
  .record(z.string(), z.number().nullable())
  .transform((of) =>
    Object.fromEntries(Object.entries(of).flatMap(([name, value]) => (value === null ? [] : [[name, value]]))),
  );

const scores = z.object({
  /** Metrics by Hugging Face's names. NaN is written as null and left out. */
  metrics: byMetric,
  errors: byMetric.optional(),
  sameAnswer: byMetric.optional(),
  /** Number of requested answers. Their scores are among the metrics. */
  generate: z.int().positive().optional(),
});

export type ReportedScores = z.output<typeof scores>;

export function reportedScoresOf(splits: readonly RunEvaluation[], { generate }: Reported = {}): ReportedScores {
  const means = (of: readonly (Record<string, number> | undefined)[]): Record<string, number> | undefined =>
    of[0] && Object.fromEntries(Object.keys(of[0]).map((metric) => [metric, mean(of.map((each) => each![metric]!))]));
  const [errors, sameAnswer] = [
    // The error of a mean over splits cannot be computed from theirs.
    splits.length === 1 ? splits[0]!.errors : undefined,
    means(splits.map(({ beside }) => beside?.[SAME_ANSWER])),
  ];
  return {
    metrics: means(splits.map(({ metrics }) => metrics))!,
    ...(errors && { errors }),
    ...(sameAnswer && { sameAnswer }),
    ...(generate !== undefined && { generate }),
  };
}

export async function readReportedScores(directory: string): Promise<ReportedScores | undefined> {
  const path = join(directory, REPORTED);
  const value = await readJsonFile(path);
  if (value === undefined) return undefined;
  const parsed = scores.safeParse(value);
  if (!parsed.success) throw new UserError(`${path} is damaged; remove it, and the same command makes it again`);
  return parsed.data;
}
