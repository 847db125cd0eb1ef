import { join } from "node:path";
import type { WatchServer } from "./reports/watch-server.ts";
import type { FineTuneConfig, ResumeConfig } from "./runs/fine-tune-config.ts";
import type { FineTuneOutcome, RunControl, RunEvent } from "./runs/fine-tune-events.ts";

// A program imports these functions at its start. Each one loads its code when the program calls it.

/** How to start and follow a run. */
export interface FineTuneOptions extends RunControl {
  /** Receives each event after it is in the run folder. A returned promise is awaited. */
  onEvent?(event: RunEvent): void | Promise<void>;
  /** Serves a page on 127.0.0.1 that follows the run until it ends. */
  watch?: {
    /** Port (default: a free one). */
    port?: number;
    /** Receives the page's address, such as `http://127.0.0.1:41234/`, before anything of the run is read. */
    onServing(url: string): void;
  };
}

/**
 * Fine-tunes a model and writes a run folder (docs/formats.md): records during training, checkpoints by steps or time and after each
 * epoch, and at the end the best epoch's adapter (read back from disk and compared), `result.json` and `report.html`.
 * @param config options of `aflora train`, in camel case
 * @throws UserError if an option, the data, the model or the port cannot be used; then nothing is written
 * @example
 * ```ts
 * const { directory, result } = await fineTune({ train: "tickets.csv", text: "message", label: "team" });
 * console.log(directory, result?.metrics.accuracy);
 * ```
 */
export function fineTune(config: FineTuneConfig, options?: FineTuneOptions): Promise<FineTuneOutcome>;
/** Resumes the run in `config.output`. */
export function fineTune(config: ResumeConfig, options: FineTuneOptions & { resume: true }): Promise<FineTuneOutcome>;
export async function fineTune(
  config: FineTuneConfig | ResumeConfig,
  { watch, onEvent, ...options }: FineTuneOptions = {},
): Promise<FineTuneOutcome> {
  const server = watch && (await openPage(watch));
  let end: FineTuneOutcome | undefined;
  try {
    for await (const event of eventsOf(config, options)) {
      await onEvent?.(event);
      if (event.kind === "end") {
        const { kind, ...outcome } = event;
        end = outcome;
      } else if (event.kind === "start") await server?.follow(event.directory);
      else if (event.kind !== "note") await server?.push(event);
    }
  } finally {
    await server?.close();
  }
  if (end!.result) {
    await onEvent?.({ kind: "progress", stage: "drawing the report", done: 0, unit: "pages" });
  }
  return withReport(end!);
}

/**
 * Fine-tunes a model as {@link fineTune} does, but without a report, and yields each event when it is in the run folder. A caller that
 * leaves the loop ends the run at its last checkpoint, from which `resume` continues. `signal` saves everything done so far.
 * @throws UserError if an option, the data or the model cannot be used; then nothing is written
 * @example
 * ```ts
 * for await (const event of fineTuneEvents({ train: "tickets.csv", text: "message", label: "team" })) {
 *   if (event.kind === "evaluation") console.log(event.epoch, event.metrics);
 * }
 * ```
 */
export function fineTuneEvents(config: FineTuneConfig, options?: RunControl): AsyncGenerator<RunEvent, void>;
/** Resumes the run in `config.output`. */
export function fineTuneEvents(
  config: ResumeConfig,
  options: RunControl & { resume: true },
): AsyncGenerator<RunEvent, void>;
export function fineTuneEvents(
  config: FineTuneConfig | ResumeConfig,
  options?: RunControl,
): AsyncGenerator<RunEvent, void> {
  return eventsOf(config, options);
}

async function* eventsOf(
  config: FineTuneConfig | ResumeConfig,
  options: RunControl | undefined,
): AsyncGenerator<RunEvent, void> {
  const { fineTuneEvents: events } = await import("./runs/fine-tune-events.ts");
  yield* events(config, options);
}

/** Serves the page, before there is a run folder. */
async function openPage(watch: NonNullable<FineTuneOptions["watch"]>): Promise<WatchServer> {
  const { startWatchServer } = await import("./reports/watch-server.ts");
  const server = await startWatchServer(watch.port);
  watch.onServing(server.url);
  return server;
}

/** Writes the report of a run that has finished. If that fails, the run is still valid, so the outcome reports the failure. */
async function withReport(outcome: FineTuneOutcome): Promise<FineTuneOutcome> {
  const { directory, result } = outcome;
  if (!result) return outcome;
  const [{ writeReport }, { REPORT }] = await Promise.all([
    import("./reports/report.ts"),
    import("./runs/run-folder.ts"),
  ]);
  try {
    await writeReport([directory], join(directory, REPORT));
    return outcome;
  } catch (error) {
    // The run itself has finished.
    const reason = error instanceof Error ? error.message : String(error);
    return {
      ...outcome,
      reportFailure: `${reason}; the run has finished, only its report is missing; write it with aflora report ${directory}`,
    };
  }
}
