import { existsSync } from "node:fs";
import { type FileHandle, mkdir, open, rm, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { opt, UserError } from "../errors.ts";
import { removeTemporaries, writeAtomically, writeFailure } from "../files/atomic-file-node.ts";
import { writeJsonFile } from "../files/json-file-node.ts";
import type { DataFingerprint } from "../preparation/data-fingerprint-node.ts";
import type { RunFindings } from "../tasks/findings.ts";
import type { FreezingRecord, MetricsRecord, ScoresRecord } from "../training/training-records.ts";
import type { TrainingState } from "../training/training-state.ts";
import type { Checkpoint } from "./checkpoint-file.ts";
import { CHECKPOINTS, type FoundCheckpoint, removeNewer, saveCheckpoint } from "./checkpoint-folder.ts";
import { MLFLOW } from "./logs/mlflow.ts";
import { TENSORBOARD } from "./logs/tensorboard.ts";
import { FINDINGS, readLines } from "./read-run.ts";
import { freezingRecord, metricsRecord, scoresRecord } from "./record-schemas.ts";
import { lockRun, type Unlock } from "./run-lock.ts";
import type { RunResult } from "./run-result.ts";

const SCORES = "scores.jsonl";

export class RunFolder {
  #scores: FileHandle | undefined;

  private constructor(
    readonly directory: string,
    private readonly metrics: FileHandle,
    private readonly freezing: FileHandle,
    private readonly unlock: Unlock | undefined,
  ) {}

  /** Makes a folder for a new run, if no process has made it before. @returns whether it is this call that made it */
  static async makeNew(directory: string): Promise<boolean> {
    try {
      await mkdir(dirname(directory), { recursive: true });
      await mkdir(directory);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST" && existsSync(directory)) return false;
      throw notMade(directory, error as Error);
    }
  }

  /** Creates a run folder. `overwrite` replaces an old run; other files stay. */
  static async create(
    directory: string,
    config: object,
    data: DataFingerprint,
    overwrite: boolean,
  ): Promise<RunFolder> {
    await mkdir(directory, { recursive: true }).catch((error: Error) => {
      throw notMade(directory, error);
    });
    return RunFolder.#open(directory, await lockRun(directory), async () => {
      await removeOldRun(directory, overwrite);
      await writeJsonFile(join(directory, "data.json"), data);
      await writeJsonFile(join(directory, "config.json"), config);
    });
  }

  /**
   * Opens the folder of a run to resume, whose lock the caller holds. Removes records and checkpoints from after `found`.
   * @param found checkpoint to resume from; undefined if the run was cut off before its first
   */
  static async resume(directory: string, found: FoundCheckpoint | undefined): Promise<RunFolder> {
    return RunFolder.#open(directory, undefined, async () => {
      if (found) await removeNewer(found);
      await rm(join(directory, HIDDEN_STATES), { force: true });
      await removeLaterRecords(directory, found?.state);
    });
  }

  static async #open(directory: string, unlock: Unlock | undefined, prepare: () => Promise<void>): Promise<RunFolder> {
    try {
      for (const part of ["", CHECKPOINTS, "adapter"]) await removeTemporaries(join(directory, part));
      await prepare();
      return new RunFolder(
        directory,
        await open(join(directory, "metrics.jsonl"), "a"),
        await open(join(directory, "freezing.jsonl"), "a"),
        unlock,
      );
    } catch (error) {
      await unlock?.();
      throw writeFailure(directory, error);
    }
  }

  async addMetrics(record: MetricsRecord): Promise<void> {
    await this.#append(this.metrics, "metrics.jsonl", record);
  }

  async addFreezing(record: FreezingRecord): Promise<void> {
    await this.#append(this.freezing, "freezing.jsonl", record);
  }

  async addScores(record: ScoresRecord): Promise<void> {
    this.#scores ??= await open(this.path(SCORES), "a").catch((error: unknown) => {
      throw writeFailure(this.path(SCORES), error);
    });
    await this.#append(this.#scores, SCORES, record);
  }

  async #append(file: FileHandle, name: string, record: object): Promise<void> {
    try {
      await file.appendFile(`${JSON.stringify(record)}\n`);
    } catch (error) {
      throw writeFailure(this.path(name), error);
    }
  }

  async saveCheckpoint(checkpoint: Checkpoint): Promise<void> {
    await this.metrics.sync();
    await this.freezing.sync();
    await this.#scores?.sync();
    await saveCheckpoint(this.directory, checkpoint);
  }

  async writeResult(result: RunResult): Promise<void> {
    await writeJsonFile(join(this.directory, "result.json"), result);
  }

  async writeFindings(findings: RunFindings): Promise<void> {
    await writeJsonFile(join(this.directory, FINDINGS), findings);
  }

  path(...parts: string[]): string {
    return join(this.directory, ...parts);
  }

  async close(): Promise<void> {
    await this.#closeFiles();
    await this.unlock?.();
  }

  /** Closes the folder and removes the run. Removes the folder, too, if it is empty then. */
  async discard(): Promise<void> {
    await this.#closeFiles();
    for (const name of RUN_FILES) await rm(this.path(name), { recursive: true, force: true });
    await this.unlock?.();
    await rmdir(this.directory).catch(() => undefined);
  }

  async #closeFiles(): Promise<void> {
    await this.metrics.close();
    await this.freezing.close();
    await this.#scores?.close();
  }
}

/** File for hidden states of frozen blocks that exceed the memory; removed when training ends. */
export const HIDDEN_STATES = "hidden-states.bin";

export const REPORT = "report.html";

/** Files and folders of a run. `--overwrite` removes only these. */
export const RUN_FILES: readonly string[] = [
  "config.json",
  "data.json",
  "metrics.jsonl",
  "freezing.jsonl",
  SCORES,
  FINDINGS,
  "result.json",
  REPORT,
  HIDDEN_STATES,
  CHECKPOINTS,
  "adapter",
  TENSORBOARD,
  MLFLOW,
];

const notMade = (directory: string, { message }: Error): UserError =>
  new UserError(`cannot make the run folder ${directory}: ${message}; choose another ${opt("output")}`, {
    code: "cannot-write",
  });

async function removeOldRun(directory: string, overwrite: boolean): Promise<void> {
  const files = RUN_FILES.filter((name) => existsSync(join(directory, name)));
  // A process that ended while it created the folder leaves no run.
  if (files.every((name) => name === "data.json")) return;
  if (!overwrite) {
    throw new UserError(
      `${directory} already holds a run; ${opt("overwrite")} replaces it, ${opt("resume")} continues it, ${opt("output")} names another folder`,
      { code: "invalid-run" },
    );
  }
  for (const name of files) await rm(join(directory, name), { recursive: true, force: true });
}

/** Removes records from after a checkpoint. */
async function removeLaterRecords(directory: string, state: TrainingState | undefined): Promise<void> {
  const { step: done = 0, evaluations = [], frozenAtStep = {}, blocksFrozenAtStep = [] } = state ?? {};
  const [metricsFile, freezingFile, scoresFile] = ["metrics.jsonl", "freezing.jsonl", SCORES].map((name) =>
    join(directory, name),
  ) as [string, string, string];
  // No state contains the evaluation before the first step.
  const lastEpoch = evaluations.at(-1)?.epoch ?? 0;
  const isKept = ({ epoch }: { epoch: number }): boolean => state !== undefined && epoch <= lastEpoch;
  const isBefore = ({ step }: { step: number }): boolean => step < done;
  const metrics = (await readLines<MetricsRecord>(metricsFile, metricsRecord, true)).filter((record) =>
    record.kind === "evaluation" ? isKept(record) : isBefore(record),
  );
  const freezing = (await readLines<FreezingRecord>(freezingFile, freezingRecord, true)).filter(isBefore);
  const scores = (await readLines<ScoresRecord>(scoresFile, scoresRecord, true)).filter(isKept);

  const evaluated = new Set(metrics.filter(({ kind }) => kind === "evaluation").map(({ epoch }) => epoch));
  const checked = new Set(freezing.map(({ step }) => step));
  const hasMetrics =
    metrics.filter(({ kind }) => kind === "step").length === done &&
    evaluations.every(({ epoch }) => evaluated.has(epoch));
  const hasFreezing = [...Object.values(frozenAtStep), ...blocksFrozenAtStep].every((step) => checked.has(step));
  if (!hasMetrics || !hasFreezing) {
    throw new UserError(
      `${hasMetrics ? freezingFile : metricsFile} lacks records of the ${done} steps before the checkpoint; restore it from a copy, or run again with ${opt("overwrite")}`,
      { code: "invalid-run" },
    );
  }
  await writeLines(metricsFile, metrics);
  await writeLines(freezingFile, freezing);
  if (existsSync(scoresFile)) await writeLines(scoresFile, scores);
}

const writeLines = (path: string, records: readonly object[]): Promise<void> =>
  writeAtomically(path, (file) => file.writeFile(records.map((record) => `${JSON.stringify(record)}\n`).join("")));
