import { join } from "node:path";
import { writeReport } from "./reports/report.ts";
import { checkPort, startWatchServer, type WatchServer } from "./reports/watch-server.ts";
import type { FineTuneConfig, ResumeConfig } from "./runs/fine-tune-config.ts";
import {
  fineTuneEvents,
  type RunControl,
  type RunEnd,
  type RunEvent,
  type RunOutcome,
} from "./runs/fine-tune-events.ts";
import { REPORT } from "./runs/run-folder.ts";

export interface FineTuneOutcome extends RunOutcome {
  /** Why the report of a finished run is missing, and which command repeats it. */
  reportFailure?: string;
}

export interface FineTuneOptions extends RunControl {
  /** Receives each event after it is in the run folder. A returned promise is awaited. */
  onEvent?(event: RunEvent): void | Promise<void>;
  /** Serves a page on 127.0.0.1 that follows the run until it ends. */
  watch?: {
    /** Port (default: a free one). */
    port?: number;
    /** Receives the page's address, such as `http://127.0.0.1:41234/`, as soon as it can be opened. */
    onServing(url: string): void;
  };
}

/**
 * Fine-tunes a model and writes a run folder: records as they come, checkpoints by step or time and after each epoch, and
 * at the end the adapter of the best epoch (read back and verified), `result.json` and `report.html` (docs/formats.md).
 * @param config options of `aflora train`, by their names without dashes
 * @throws UserError if an option, the data, the model or the port cannot be used; nothing is written then
 */
export function fineTune(config: FineTuneConfig, options?: FineTuneOptions): Promise<FineTuneOutcome>;
/** Resumes the run in `config.output`. */
export function fineTune(config: ResumeConfig, options: FineTuneOptions & { resume: true }): Promise<FineTuneOutcome>;
export async function fineTune(
  config: FineTuneConfig | ResumeConfig,
  { watch, onEvent, ...options }: FineTuneOptions = {},
): Promise<FineTuneOutcome> {
  if (watch?.port !== undefined) await checkPort(watch.port);
  let server: WatchServer | undefined;
  let end: RunEnd | undefined;
  try {
    for await (const event of fineTuneEvents(config, options)) {
      await onEvent?.(event);
      if (event.kind === "end") end = event;
      else if (event.kind !== "start") await server?.push(event);
      else if (watch) {
        server = await startWatchServer({ directory: event.directory, ...watch });
        watch.onServing(server.url);
      }
    }
  } finally {
    await server?.close();
  }
  const { kind, ...outcome } = end!;
  const { directory, result } = outcome;
  if (!result) return outcome;
  try {
    await writeReport([directory], join(directory, REPORT));
    return outcome;
  } catch (error) {
    // The run itself has finished.
    const reason = error instanceof Error ? error.message : String(error);
    return {
      ...outcome,
      reportFailure: `${reason}; the run has finished, only its report is missing: aflora report ${directory}`,
    };
  }
}
