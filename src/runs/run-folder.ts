import { existsSync } from "node:fs";
import { type FileHandle, mkdir, open, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { writeAtomically, writeFailure } from "../checkpoints/atomic-file-node.ts";
import { writeJsonFile } from "../checkpoints/json-file-node.ts";
import { UserError } from "../errors.ts";
import type { FreezingRecord, MetricsRecord, RunResult } from "./records.ts";

const LOCK = "run.lock";

/** A run folder that this process writes to. */
export class RunFolder {
  readonly directory: string;
  readonly #metrics: FileHandle;
  readonly #freezing: FileHandle;

  private constructor(directory: string, metrics: FileHandle, freezing: FileHandle) {
    this.directory = directory;
    this.#metrics = metrics;
    this.#freezing = freezing;
  }

  /**
   * Makes a run folder; with `overwrite` in place of an old run. Files that are no run's stay.
   * @throws UserError where there is a run already, another process writes to it, or the folder cannot be written.
   */
  static async create(directory: string, config: object, overwrite: boolean): Promise<RunFolder> {
    if (existsSync(directory)) {
      await refuseIfLocked(directory);
      await removeOldRun(directory, overwrite);
    }
    await mkdir(directory, { recursive: true }).catch((error: NodeJS.ErrnoException) => {
      throw new UserError(`cannot make the run folder ${directory}: ${error.message}; choose another --output`);
    });
    return RunFolder.#open(directory, () => writeJsonFile(join(directory, "config.json"), config));
  }

  /**
   * Opens the folder of a run that was cut off, with its records of steps from `step` on removed.
   * @throws UserError where another process writes to it, or it cannot be written.
   */
  static async resume(directory: string, step: number): Promise<RunFolder> {
    await refuseIfLocked(directory);
    return RunFolder.#open(directory, async () => {
      // An evaluation counts the steps done, a step record is numbered from 0.
      await keepLines(join(directory, "metrics.jsonl"), (record) =>
        record.kind === "evaluation" ? (record.step as number) <= step : (record.step as number) < step,
      );
      await keepLines(join(directory, "freezing.jsonl"), (record) => (record.step as number) < step);
    });
  }

  /** Takes the lock, prepares the folder and opens the record files; gives the lock back where that fails. */
  static async #open(directory: string, prepare: () => Promise<void>): Promise<RunFolder> {
    await lock(directory);
    try {
      await prepare();
      return new RunFolder(
        directory,
        await open(join(directory, "metrics.jsonl"), "a"),
        await open(join(directory, "freezing.jsonl"), "a"),
      );
    } catch (error) {
      await unlock(directory);
      throw writeFailure(directory, error);
    }
  }

  async addMetrics(record: MetricsRecord): Promise<void> {
    await this.#append(this.#metrics, "metrics.jsonl", record);
  }

  async addFreezing(record: FreezingRecord): Promise<void> {
    await this.#append(this.#freezing, "freezing.jsonl", record);
  }

  async #append(file: FileHandle, name: string, record: object): Promise<void> {
    try {
      await file.appendFile(`${JSON.stringify(record)}\n`);
    } catch (error) {
      throw writeFailure(this.path(name), error);
    }
  }

  async writeResult(result: RunResult): Promise<void> {
    await writeJsonFile(join(this.directory, "result.json"), result);
  }

  /** Path of a file or folder in the run folder. */
  path(...parts: string[]): string {
    return join(this.directory, ...parts);
  }

  /** Closes the record files and gives the lock back. */
  async close(): Promise<void> {
    await this.#metrics.close();
    await this.#freezing.close();
    await unlock(this.directory);
  }
}

/** Files and folders of a run; `--overwrite` removes these and nothing else. */
const RUN_FILES = [
  "config.json",
  "metrics.jsonl",
  "freezing.jsonl",
  "result.json",
  "report.html",
  "checkpoints",
  "adapter",
];

async function removeOldRun(directory: string, overwrite: boolean): Promise<void> {
  const files = RUN_FILES.filter((name) => existsSync(join(directory, name)));
  if (files.length === 0) return;
  if (!overwrite) {
    throw new UserError(
      `${directory} already holds a run; --overwrite replaces it, --resume continues it, --output names another folder`,
    );
  }
  for (const name of files) await rm(join(directory, name), { recursive: true, force: true });
}

async function lock(directory: string): Promise<void> {
  const path = join(directory, LOCK);
  await writeFile(path, `${process.pid}\n`, { flag: "wx" }).catch((error: unknown) => {
    throw writeFailure(path, error);
  });
}

const unlock = (directory: string): Promise<void> => rm(join(directory, LOCK), { force: true });

/** A lock whose process is gone was left by a crash and is taken away. */
async function refuseIfLocked(directory: string): Promise<void> {
  const path = join(directory, LOCK);
  const pid = Number.parseInt(await readFile(path, "utf8").catch(() => ""), 10);
  if (isRunning(pid)) {
    throw new UserError(
      `process ${pid} is writing the run in ${directory}; wait until it ends, or remove ${LOCK} if it is no run`,
    );
  }
  await unlock(directory);
}

function isRunning(pid: number): boolean {
  if (Number.isNaN(pid)) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Keeps a JSON Lines file's whole lines that `keep` accepts. */
async function keepLines(path: string, keep: (record: Record<string, unknown>) => boolean): Promise<void> {
  const text = await readFile(path, "utf8").catch(() => "");
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  const kept = whole.split("\n").filter((line) => line !== "" && keep(JSON.parse(line)));
  await writeAtomically(path, (file) => file.writeFile(kept.map((line) => `${line}\n`).join("")));
}
