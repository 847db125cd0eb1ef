import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import type { TrialEnd, TrialJob } from "../studies/run-study.ts";
import type { ProgressEvent } from "../training/progress.ts";
import type { TrialOrder } from "./commands/trial.ts";
import { INTERRUPTED } from "./run-training.ts";

/** Number of characters of a trial's stderr to keep, for the reason of a failure. */
const KEPT = 10_000;

/** Options of a trial's process. */
export interface TrialProcessOptions {
  /** Aborting asks the process to save what `resume` needs and to end. */
  signal?: AbortSignal;
  /** Milliseconds after which training ends with its best evaluation so far. */
  timeUpAfter?: number | undefined;
  /** Receives the progress of the trial's stages, of which training counts steps. */
  onNews?(news: ProgressEvent): void;
}

/**
 * Runs a trial in a separate process. So it has its own peak memory, a crash affects nothing else, and this process stays responsive.
 * Keeps
 * the end of its stderr for the reason of a failure.
 */
export async function runTrialInProcess(
  {
    config,
    resume,
    stopAfter,
    refit,
    novelty,
    reported,
  }: Pick<TrialJob, "config" | "resume" | "stopAfter" | "refit" | "novelty" | "reported">,
  { signal, timeUpAfter, onNews }: TrialProcessOptions = {},
): Promise<TrialEnd> {
  if (signal?.aborted) return "interrupted";
  const folder = await mkdtemp(join(tmpdir(), "aflora-"));
  try {
    const file = join(folder, "trial.json");
    // A resumed run has its options already, except those that say where to compute.
    const { output, threads, device, offline } = config;
    const order: TrialOrder = {
      config: resume ? { output, threads, device, offline } : config,
      resume,
      stopAfter,
      timeUpAfter,
      refit,
      novelty,
      reported,
    };
    await writeFile(file, JSON.stringify(order));
    // A separate process group: a terminal sends Ctrl-C to whole groups, and a second signal would end the run unsaved.
    const child = spawn(process.execPath, [...process.execArgv, process.argv[1]!, "trial", file], {
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      detached: process.platform !== "win32",
    });
    let said = "";
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      said = (said + text).slice(-KEPT);
    });
    child.on("message", (news) => onNews?.(news as ProgressEvent));
    // Windows has no signals; the process ends when the channel closes.
    const end = (): void => void (process.platform === "win32" ? child.disconnect() : child.kill("SIGTERM"));
    signal?.addEventListener("abort", end, { once: true });
    // The signal may have aborted while the folder was created.
    if (signal?.aborted) end();
    try {
      const [code, by] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
        child.on("error", reject).on("close", (...how) => resolve(how));
      });
      if (code === 0) return stopAfter === undefined ? "finished" : "paused";
      if (code === INTERRUPTED || signal?.aborted) return "interrupted";
      if (by) return { failed: `ended by ${by} (${constants.signals[by]})` };
      return { failed: reasonIn(said) ?? `exit code ${code}` };
    } finally {
      signal?.removeEventListener("abort", end);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The last error that a process printed. */
const reasonIn = (said: string): string | undefined => [...said.matchAll(/^error: (.*)$/gm)].at(-1)?.[1];
