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
import type { ProgressEvent } from "../../training/progress.ts";
import { INTERRUPTED } from "../run-training.ts";
import { onStopSignal } from "../terminal/stop-signals.ts";

/** Stage of a trial whose steps count for its progress. */
export const TRAINING = "training";

/** Arguments for the process of a trial, as JSON in a file. */
export interface TrialOrder {
  config: Readonly<Record<string, unknown>>;
  resume: boolean;
  stopAfter?: number | undefined;
  /** Milliseconds after which training ends with its best evaluation so far. */
  timeUpAfter?: number | undefined;
  refit?: boolean | undefined;
  novelty?: boolean | undefined;
  reported: Reported | undefined;
}

/** Message to the parent process about the steps of training. */
const trainingProgress = (done: number, total: number): ProgressEvent => ({
  kind: "progress",
  stage: TRAINING,
  done,
  total,
  unit: "steps",
});

/** Command for the process of one trial: trains, and scores the adapter on data that had no part in any choice. */
export function trialCommand(): Command {
  return new Command("trial").argument("<job>").action(async (file: string) => {
    const {
      config,
      resume,
      stopAfter,
      timeUpAfter,
      refit = false,
      novelty = false,
      reported,
    } = (await readJsonFile(file)) as TrialOrder;
    const directory = String(config.output);
    const abort = new AbortController();
    onStopSignal(() => abort.abort());
    // The parent process has ended, and another may own its folder now.
    process.on("disconnect", () => abort.abort());
    // An open channel would keep a failed process alive.
    process.channel?.unref();
    /** Adds this process's time to the total of all processes of the trial. */
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
        novelty,
        signal: abort.signal,
        onEvent(event) {
          if (event.kind === "start") ({ totalSteps } = event);
          if (!process.connected) return;
          if (event.kind === "progress") process.send!(event);
          else if (event.kind === "step") process.send!(trainingProgress(event.step + 1, totalSteps));
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

/** Scores a trial on the data that it is reported on. */
async function reportedScores(
  directory: string,
  reported: Reported,
  { threads, device, offline }: TrialOrder["config"],
): Promise<ReportedScores> {
  const compute = { threads, device, offline, baselines: false } as Parameters<typeof evaluateRun>[1];
  return reportedScoresOf(await evaluateRun(directory, { ...compute, ...reported }), reported);
}
