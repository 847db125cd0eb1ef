import { join } from "node:path";
import { type FineTuneOptions, type FineTuneOutcome, fineTune } from "../runs/fine-tune.ts";
import type { FineTuneConfig } from "../runs/fine-tune-config.ts";
import { REPORT } from "../runs/run-folder.ts";
import { writeReport } from "./report.ts";
import { checkPort, startWatchServer, type WatchServer } from "./watch-server.ts";

export interface ReportedRunOutcome extends FineTuneOutcome {
  /** Why there is no report of a run that has finished, and what to repeat. */
  reportFailure?: string;
}

export interface ReportedRunOptions extends FineTuneOptions {
  /** Serve a page on 127.0.0.1 that follows the run and closes with it. */
  watch?: {
    /** A free one where absent. */
    port?: number;
    /** Told the page's address, such as `http://127.0.0.1:41234/`, when it can be opened. */
    onServing(url: string): void;
  };
}

/**
 * Fine-tunes a model and writes a run folder: records as they come, checkpoints by step or time and each epoch, and at
 * the end the best epoch's adapter, read back from disk and compared, `result.json` and `report.html` (docs/formats.md).
 * @param config options of `aflora train`, by their names without dashes
 * @throws UserError where an option, the data, the model or the port cannot be used; then nothing is written
 */
export async function fineTuneWithReport(
  config: FineTuneConfig,
  { watch, ...options }: ReportedRunOptions = {},
): Promise<ReportedRunOutcome> {
  if (watch?.port !== undefined) await checkPort(watch.port);
  let server: WatchServer | undefined;
  let outcome: FineTuneOutcome;
  try {
    outcome = await fineTune(config, {
      ...options,
      async onStart(start) {
        await options.onStart?.(start);
        if (!watch) return;
        server = await startWatchServer({ directory: start.directory, ...watch });
        watch.onServing(server.url);
      },
      async onStep(record) {
        await options.onStep?.(record);
        await server?.push(record);
      },
      async onFreezingCheck(record) {
        await options.onFreezingCheck?.(record);
        await server?.push(record);
      },
      async onEvaluation(record) {
        await options.onEvaluation?.(record);
        await server?.push(record);
      },
      async onScores(record) {
        await options.onScores?.(record);
        await server?.push(record);
      },
    });
  } finally {
    await server?.close();
  }
  const { directory, result } = outcome;
  if (!result) return outcome;
  try {
    await writeReport([directory], join(directory, REPORT));
    return outcome;
  } catch (error) {
    // The run has finished all the same.
    const reason = error instanceof Error ? error.message : String(error);
    return {
      ...outcome,
      reportFailure: `${reason}; the run has finished, only its report is missing: aflora report ${directory}`,
    };
  }
}
