/** One of two processes that want the same run folder: does what its parent sends, and answers how it went. */
import { setTimeout as wait } from "node:timers/promises";
import { UserError } from "../../src/errors.ts";
import { type FineTuneOptions, fineTune } from "../support/fine-tune.ts";
import { on } from "../support/on-event.ts";

export interface Race {
  config: Record<string, unknown>;
  options: Pick<FineTuneOptions, "overwrite" | "resume">;
  /** Milliseconds before it begins. */
  delay: number;
}

/** Times are those of the clock, milliseconds. */
export type RaceEnd = { wrote: [from: number, to: number] } | { refused: string } | { failed: string };

process.on("message", async ({ config, options, delay }: Race) => {
  await wait(delay);
  let from = 0;
  const onEvent = on("start", (): void => {
    from = Date.now();
  });
  const end: RaceEnd = await fineTune(config, { ...options, onEvent }).then(
    () => ({ wrote: [from, Date.now()] }),
    (error: Error) => (error instanceof UserError ? { refused: error.message } : { failed: error.stack ?? "" }),
  );
  process.send!(end);
});
process.send!("ready");
