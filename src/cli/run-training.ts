import { type FineTuneOptions, type FineTuneOutcome, fineTune } from "../runs/fine-tune.ts";
import { TrainingProgress } from "./progress.ts";

/** Exit code of a process that Ctrl-C ended. */
export const INTERRUPTED = 130;

/**
 * A run under the eyes of a user: progress on stderr; Ctrl-C ends it after the step at hand with everything saved,
 * a second Ctrl-C at once.
 */
export async function runTraining(
  given: Readonly<Record<string, unknown>>,
  options: Pick<FineTuneOptions, "overwrite" | "resume"> = {},
): Promise<FineTuneOutcome> {
  const progress = new TrainingProgress();
  const abort = new AbortController();
  const interrupt = (): void => {
    if (abort.signal.aborted) process.exit(INTERRUPTED);
    abort.abort();
    progress.log("ending after this step; press Ctrl-C again to end at once");
  };
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  try {
    return await fineTune(given, { ...options, ...progress.callbacks, signal: abort.signal });
  } finally {
    process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
    progress.stop();
  }
}
