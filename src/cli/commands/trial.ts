import { rm } from "node:fs/promises";
import { join } from "node:path";
import { Command } from "commander";
import { readJsonFile, writeJsonFile } from "../../files/json-file-node.ts";
import { fineTune } from "../../fine-tune.ts";
import { removeCheckpoints } from "../../runs/checkpoint-folder.ts";
import { evaluateRun } from "../../runs/evaluate-run.ts";
import type { FineTuneConfig } from "../../runs/fine-tune-config.ts";
import { isFinished } from "../../runs/read-run.ts";
import { REPORTED, type Reported, type ReportedScores, reportedScoresOf } from "../../studies/reported-scores.ts";
import { TRIAL_TIME } from "../../studies/run-study.ts";
import { INTERRUPTED } from "../run-training.ts";
import { onStopSignal } from "../terminal/stop-signals.ts";

/** What the process of a trial is told, as JSON in a file. */
export interface TrialOrder {
  config: Readonly<Record<string, unknown>>;
  resume: boolean;
  stopAfter?: number | undefined;
  /** Milliseconds after which training ends by its best evaluation so far. */
  timeUpAfter?: number | undefined;
  refit?: boolean | undefined;
  reported: Reported | undefined;
}

/** What it says to the process that started it. */
export interface TrialProgress {
  step: number;
  totalSteps: number;
  epoch: number;
}

/** The process of one trial: it trains, and scores the adapter on data that played no part in any choice. */
export function trialCommand(): Command {
  return new Command("trial").argument("<file>").action(async (file: string) => {
    const {
      config,
      resume,
      stopAfter,
      timeUpAfter,
      refit = false,
      reported,
    } = (await readJsonFile(file)) as TrialOrder;
    const directory = String(config.output);
    const abort = new AbortController();
    onStopSignal(() => abort.abort());
    // Whoever started it has ended, and its place may be another's now.
    process.on("disconnect", () => abort.abort());
    // Open, the channel would keep a process that failed.
    process.channel?.unref();
    /** Of all processes that worked at it, from their start to their end. */
    const addTime = async (): Promise<void> => {
      const path = join(directory, TRIAL_TIME);
      const { seconds = 0 } = ((await readJsonFile(path)) ?? {}) as { seconds?: number };
      await writeJsonFile(path, { seconds: (resume ? seconds : 0) + process.uptime() });
    };
    if (!resume) await rm(join(directory, REPORTED), { force: true });
    if (!resume || !(await isFinished(directory))) {
      let totalSteps = 0;
      const outcome = await fineTune(config as FineTuneConfig, {
        ...(resume ? { resume } : { overwrite: true }),
        ...(stopAfter !== undefined && { stopAfter }),
        ...(timeUpAfter !== undefined && { timeUp: AbortSignal.timeout(timeUpAfter) }),
        refit,
        signal: abort.signal,
        onEvent(event) {
          if (event.kind === "start") ({ totalSteps } = event);
          if (event.kind !== "step" || !process.connected) return;
          process.send!({ step: event.step + 1, totalSteps, epoch: event.epoch } satisfies TrialProgress);
        },
      });
      if (!outcome.result) {
        await addTime();
        process.exitCode = abort.signal.aborted ? INTERRUPTED : 0;
        return;
      }
    }
    // A study has many trials, and with full fine-tuning each checkpoint is several times as large as the model.
    await removeCheckpoints(directory);
    if (reported) await writeJsonFile(join(directory, REPORTED), await reportedScores(directory, reported, config));
    await addTime();
  });
}

/** How a trial does on what it is reported on. */
async function reportedScores(
  directory: string,
  reported: Reported,
  { threads, device, offline }: TrialOrder["config"],
): Promise<ReportedScores> {
  const compute = { threads, device, offline, baselines: false } as Parameters<typeof evaluateRun>[1];
  return reportedScoresOf(await evaluateRun(directory, { ...compute, ...reported }), reported);
}
