import {
  type FineTuneOutcome,
  fineTuneEvents,
  type RunControl,
  type RunEvent,
} from "../../src/runs/fine-tune-events.ts";

/** How a run is followed and ended. */
export interface FineTuneOptions extends RunControl {
  onEvent?(event: RunEvent): unknown;
}

/** A run to its end, without a report: what it came to. */
export async function fineTune(
  given: Readonly<Record<string, unknown>>,
  { onEvent, ...control }: FineTuneOptions = {},
): Promise<FineTuneOutcome> {
  let end: FineTuneOutcome | undefined;
  for await (const event of fineTuneEvents(given, control)) {
    await onEvent?.(event);
    if (event.kind === "end") end = event;
  }
  return end!;
}
