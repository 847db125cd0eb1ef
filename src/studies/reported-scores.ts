import { join } from "node:path";
import { z } from "zod";
import { UserError } from "../errors.ts";
import { readJsonFile } from "../files/json-file-node.ts";
import { type RunEvaluation, SAME_ANSWER } from "../runs/evaluate-run.ts";
import { mean } from "./statistics.ts";

/** What is measured when a trial has been trained. */
export interface Reported {
  /** Its score on the data's own validation examples, or on those of a file, which played no part in any choice; else on its run's. */
  ownSplits?: true | undefined;
  validation?: string | undefined;
  /** So many of these examples are answered, and the answers scored. */
  generate?: number | undefined;
}

/** Whether that is on data that played no part in any choice. */
export const isApart = (reported: Reported | undefined): boolean =>
  reported?.ownSplits === true || reported?.validation !== undefined;

/** `reported.json` of a trial's folder: what was measured when it had been trained. */
export const REPORTED = "reported.json";

const byMetric = z
  .record(z.string(), z.number().nullable())
  .transform((of) =>
    Object.fromEntries(Object.entries(of).flatMap(([name, value]) => (value === null ? [] : [[name, value]]))),
  );

const scores = z.object({
  /** By Hugging Face's names; one that is no number is written as null, and left out. */
  metrics: byMetric,
  /** Standard errors of the metrics, by the number of examples. */
  errors: byMetric.optional(),
  /** What the best answer that needs no text comes to. */
  sameAnswer: byMetric.optional(),
  /** How many answers were asked for; scores of them are among the metrics. */
  generate: z.int().positive().optional(),
});

export type ReportedScores = z.output<typeof scores>;

/** As earlier versions wrote it: the metrics alone. */
const metricsAlone = byMetric.transform((metrics): ReportedScores => ({ metrics }));

/** What the evaluations of a trial's splits come to: their means. */
export function reportedScoresOf(splits: readonly RunEvaluation[], { generate }: Reported = {}): ReportedScores {
  const means = (of: readonly (Record<string, number> | undefined)[]): Record<string, number> | undefined =>
    of[0] && Object.fromEntries(Object.keys(of[0]).map((metric) => [metric, mean(of.map((each) => each![metric]!))]));
  const [errors, sameAnswer] = [
    // Several splits' errors do not add up to that of their mean.
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

/** The scores in a trial's folder; undefined where it has none. @throws UserError where the file is damaged */
export async function readReportedScores(directory: string): Promise<ReportedScores | undefined> {
  const path = join(directory, REPORTED);
  const value = await readJsonFile(path);
  if (value === undefined) return undefined;
  const parsed = z.union([scores, metricsAlone]).safeParse(value);
  if (!parsed.success) throw new UserError(`${path} is damaged; remove it, and the same command makes it again`);
  return parsed.data;
}
