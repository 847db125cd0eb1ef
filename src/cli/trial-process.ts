import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import type { TrialEnd, TrialJob } from "../studies/run-study.ts";
import type { TrialOrder, TrialProgress } from "./commands/trial.ts";
import { INTERRUPTED } from "./run-training.ts";

/** Characters of what a trial says that are kept, to know why it failed. */
const KEPT = 10_000;

/** How a trial's process is watched and ended. */
export interface TrialProcessOptions {
  /** Aborting asks it to save what `resume` needs and to end. */
  signal?: AbortSignal;
  /** Milliseconds after which training ends by its best evaluation so far. */
  timeUpAfter?: number | undefined;
  onNews?(news: TrialProgress): void;
}

/**
 * A trial in a process of its own, so that its peak memory is its own, a crash takes nothing else with it, and this process
 * stays free to answer. What it says is kept for the reason of a failure.
 */
export async function runTrialInProcess(
  {
    config,
    resume,
    stopAfter,
    refit,
    reported,
  }: Pick<TrialJob, "config" | "resume" | "stopAfter" | "refit" | "reported">,
  { signal, timeUpAfter, onNews }: TrialProcessOptions = {},
): Promise<TrialEnd> {
  if (signal?.aborted) return "interrupted";
  const folder = await mkdtemp(join(tmpdir(), "aflora-"));
  try {
    const file = join(folder, "trial.json");
    // A run that goes on has its options already, but for where to compute.
    const { output, threads, device, offline } = config;
    const order: TrialOrder = {
      config: resume ? { output, threads, device, offline } : config,
      resume,
      stopAfter,
      timeUpAfter,
      refit,
      reported,
    };
    await writeFile(file, JSON.stringify(order));
    // A group of its own: a terminal sends Ctrl-C to whole groups, and a second one would end the run unsaved.
    const child = spawn(process.execPath, [...process.execArgv, process.argv[1]!, "trial", file], {
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      detached: process.platform !== "win32",
    });
    let said = "";
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      said = (said + text).slice(-KEPT);
    });
    child.on("message", (news) => onNews?.(news as TrialProgress));
    // Where there are no signals, it takes the end of the channel for one.
    const end = (): void => void (process.platform === "win32" ? child.disconnect() : child.kill("SIGTERM"));
    signal?.addEventListener("abort", end, { once: true });
    // It may have been aborted while the folder was made.
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

/** The last error that a process told. */
const reasonIn = (said: string): string | undefined => [...said.matchAll(/^error: (.*)$/gm)].at(-1)?.[1];
