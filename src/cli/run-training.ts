import { fineTuneWithReport, type ReportedRunOptions, type ReportedRunOutcome } from "../reports/reported-run.ts";
import type { FineTuneConfig } from "../runs/fine-tune-config.ts";
import { downloadLine } from "./download-line.ts";
import { TrainingProgress } from "./progress.ts";

/** Signals that ask a run to end: Ctrl-C, a system that shuts down, a terminal that is closed. */
export const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Exit code of a process that Ctrl-C ended. */
export const INTERRUPTED = 130;

/**
 * A run under the eyes of a user: progress on stderr; Ctrl-C ends it after the step at hand with everything saved,
 * a second Ctrl-C at once.
 */
export async function runTraining(
  given: Readonly<Record<string, unknown>>,
  options: Pick<ReportedRunOptions, "overwrite" | "resume"> & { watch?: { port?: number } } = {},
): Promise<ReportedRunOutcome> {
  const progress = new TrainingProgress();
  const abort = new AbortController();
  let begun = false;
  const interrupt = (): void => {
    if (abort.signal.aborted) process.exit(INTERRUPTED);
    if (!begun) {
      // Nothing is written yet, and what was fetched is kept: no need to wait for a download or a load.
      process.stderr.write("interrupted before training began\n");
      process.exit(INTERRUPTED);
    }
    abort.abort();
    progress.log("ending after this step; press Ctrl-C again to end at once");
  };
  for (const signal of SIGNALS) process.on(signal, interrupt);
  try {
    const { watch, ...rest } = options;
    const onServing = (url: string): void => progress.log(`watch the run at ${url}`);
    // The options were given as text: it is there that they are checked.
    const outcome = await fineTuneWithReport(given as FineTuneConfig, {
      ...rest,
      ...progress.callbacks,
      onStart(start) {
        begun = true;
        return progress.callbacks.onStart?.(start);
      },
      onDownload: downloadLine(),
      ...(watch && { watch: { ...watch, onServing } }),
      signal: abort.signal,
    });
    for (const note of outcome.notes) progress.log(`note: ${note}`);
    if (outcome.reportFailure) progress.log(outcome.reportFailure);
    return outcome;
  } finally {
    for (const signal of SIGNALS) process.off(signal, interrupt);
    progress.stop();
  }
}
