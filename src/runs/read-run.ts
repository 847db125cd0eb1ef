import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { z } from "zod";
import { opt, UserError, withCode } from "../errors.ts";
import { type DataFingerprint, dataFingerprintSchema } from "../preparation/data-fingerprint-node.ts";
import { parseSavedConfig, type RunConfig } from "../preparation/run-options-node.ts";
import type { RunFindings } from "../tasks/findings.ts";
import type {
  EvaluationRecord,
  FreezingRecord,
  MetricsRecord,
  ScoresRecord,
  StepRecord,
} from "../training/training-records.ts";
import { freezingRecord, metricsRecord, runFindings, runResult, scoresRecord } from "./record-schemas.ts";
import { isRunLocked } from "./run-lock.ts";
import type { RunResult } from "./run-result.ts";

export const FINDINGS = "findings.json";

/** Everything that a run has written, read from its folder. */
export interface RunRecords {
  directory: string;
  /** `config.json`: the run's options, all resolved. */
  config: RunConfig;
  /** `data.json`: fingerprint of the examples. */
  dataFingerprint: DataFingerprint;
  steps: StepRecord[];
  evaluations: EvaluationRecord[];
  freezing: FreezingRecord[];
  /** Records of embeddings and rerankers. */
  scores: ScoresRecord[];
  /** Facts about its answers to held-out examples; undefined for kinds that describe none. */
  findings?: RunFindings | undefined;
  /** Undefined while the run is being written, or if it was cut off. */
  result?: RunResult;
}

export interface FinishedRun extends RunRecords {
  result: RunResult;
}

export const readRunRecords = (directory: string): Promise<RunRecords> => withCode("invalid-run", recordsIn(directory));

async function recordsIn(directory: string): Promise<RunRecords> {
  const file = join(directory, "config.json");
  const saved = await readObject<Record<string, unknown>>(file);
  if (!saved) {
    throw new UserError(`${directory} is not a run folder: it has no config.json; give the folder that a run wrote`);
  }
  const data = join(directory, "data.json");
  const fingerprint = dataFingerprintSchema.safeParse(await readObject(data));
  if (!fingerprint.success) {
    throw new UserError(`${data} is missing or damaged; restore it from a copy, or run again with ${opt("overwrite")}`);
  }
  const result = await readChecked<RunResult>(join(directory, "result.json"), runResult);
  const findings = await readChecked<RunFindings>(join(directory, FINDINGS), runFindings);
  const metrics = await readLines<MetricsRecord>(join(directory, "metrics.jsonl"), metricsRecord, !result);
  const evaluations = metrics.filter((record) => record.kind === "evaluation");
  const steps = metrics.filter((record) => record.kind === "step");
  // An epoch has at least one step, or follows in order; otherwise a report would draw an epoch far beyond the others.
  const strange = evaluations.find(({ epoch }, index) => epoch > Math.max(index + 1, steps.length));
  if (strange)
    throw new UserError(
      `${join(directory, "metrics.jsonl")} is damaged: an evaluation of epoch ${strange.epoch} does not follow the one before it`,
    );
  return {
    directory,
    config: parseSavedConfig(saved, file),
    dataFingerprint: fingerprint.data,
    steps,
    evaluations,
    freezing: await readLines<FreezingRecord>(join(directory, "freezing.jsonl"), freezingRecord, !result),
    scores: await readLines<ScoresRecord>(join(directory, "scores.jsonl"), scoresRecord, !result),
    ...(findings && { findings }),
    ...(result && { result }),
  };
}

async function readChecked<T extends object>(file: string, schema: z.ZodType): Promise<T | undefined> {
  const found = await readObject<T>(file);
  const [issue] = (found && schema.safeParse(found).error?.issues) ?? [];
  if (!issue) return found;
  throw new UserError(
    `${file} is damaged: ${issue.path.join(".")} is malformed; run it again with ${opt("overwrite")}`,
  );
}

/**
 * Reads a finished run.
 * @throws {UserError} as `readRunRecords`, and if the run is still being written or was cut off
 */
export async function readFinishedRun(directory: string): Promise<FinishedRun> {
  const { result, ...records } = await readRunRecords(directory);
  if (result) return { ...records, result };
  throw new UserError(
    (await isRunLocked(directory))
      ? `the run in ${directory} is still being written (it has a run.lock and no result.json); wait until it ends`
      : `the run in ${directory} did not finish (it has no result.json); continue it with ${opt("resume")}, or run it again with ${opt("overwrite")}`,
    { code: "invalid-run" },
  );
}

export async function isFinished(directory: string): Promise<boolean> {
  return existsSync(join(directory, "config.json")) && (await readRunRecords(directory)).result !== undefined;
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new UserError(`can't read ${file} (${code}); check that it is a readable file`);
  }
}

async function readObject<T extends object>(file: string): Promise<T | undefined> {
  const text = await readIfThere(file);
  return text === undefined ? undefined : parseObject<T>(text, file);
}

/**
 * Records of a JSON Lines file; an empty array if it does not exist.
 * @param growing whether the last line may be incomplete; it is left out then
 */
export async function readLines<T extends object>(file: string, schema: z.ZodType, growing: boolean): Promise<T[]> {
  const lines = ((await readIfThere(file)) ?? "").split("\n");
  // The text after the last line break is empty, or an incomplete record.
  if (growing || lines.at(-1) === "") lines.pop();
  return lines.map((line, index) => {
    const where = `${file}, line ${index + 1},`;
    const record = parseObject<T>(line, where);
    const [issue] = schema.safeParse(record).error?.issues ?? [];
    if (!issue) return record;
    throw new UserError(
      `${where} is not a valid record: ${issue.path.join(".")} is malformed; run it again with ${opt("overwrite")}`,
    );
  });
}

function parseObject<T extends object>(text: string, where: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Falls through: text that is not JSON gets the same error as JSON that is no object.
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as T;
  throw new UserError(
    `${where} is not a JSON object, so the run's records are damaged; run it again with ${opt("overwrite")}`,
  );
}
