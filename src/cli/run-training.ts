import { type FineTuneOptions, fineTune } from "../fine-tune.ts";
import type { FineTuneConfig } from "../runs/fine-tune-config.ts";
import type { FineTuneOutcome } from "../runs/fine-tune-events.ts";
import { inFlags } from "./help.ts";
import { downloadLine } from "./terminal/download-line.ts";
import { say } from "./terminal/print.ts";
import { TrainingProgress } from "./terminal/progress.ts";
import { onStopSignal } from "./terminal/stop-signals.ts";

/** Exit code of a process that Ctrl-C ended. */
export const INTERRUPTED = 130;

/**
 * Trains with progress on stderr. Ctrl-C ends the run after the current computation and saves everything; a second Ctrl-C ends it at
 * once.
 * @param options.brief whether to show a bar alone
 * @param options.queue server whose workers compute the steps
 */
export async function runTraining(
  given: Readonly<Record<string, unknown>>,
  options: Pick<FineTuneOptions, "overwrite" | "resume"> & {
    brief?: boolean;
    watch?: { port?: number };
    queue?: { url: string; mixedProcessors: boolean };
  } = {},
): Promise<FineTuneOutcome> {
  const progress = new TrainingProgress(options);
  const abort = new AbortController();
  let begun = false;
  const stopListening = onStopSignal(() => {
    if (!begun) {
      // Nothing is written yet, and downloads are kept: no need to wait for a download or a load.
      say("interrupted before training began\n");
      process.exit(INTERRUPTED);
    }
    abort.abort();
    progress.log("saving what is done; press Ctrl-C again to end at once");
  });
  try {
    const { brief, watch, queue, ...rest } = options;
    const onServing = (url: string): void => progress.log(`watch the run at ${url}`);
    // The options were given as text. `fineTune` checks them.
    const outcome = await fineTune(given as FineTuneConfig, {
      ...rest,
      onEvent(event) {
        begun ||= event.kind === "start";
        progress.take(event);
      },
      onDownload: downloadLine(),
      ...(queue && { queue: { ...queue, onNote: (note) => progress.log(inFlags(note)) } }),
      ...(watch && { watch: { ...watch, onServing } }),
      signal: abort.signal,
    });
    if (!brief) for (const note of outcome.notes) progress.log(`note: ${inFlags(note)}`);
    if (outcome.reportFailure) progress.log(inFlags(outcome.reportFailure));
    return outcome;
  } finally {
    stopListening();
    progress.stop();
  }
}
