import type { NoteEvent } from "../../training/events.ts";
import type { MetricsRecord } from "../../training/training-records.ts";
import { openMlflow } from "./mlflow.ts";
import type { LoggedRun, RunEnd, RunLog } from "./run-log.ts";
import { tensorBoard } from "./tensorboard.ts";

export class RunLogs {
  #isClosed = false;

  private constructor(
    private readonly logs: readonly RunLog[],
    private readonly waiting: NoteEvent[],
  ) {}

  static async open(run: Omit<LoggedRun, "onNote">): Promise<RunLogs> {
    const notes: NoteEvent[] = [];
    const logged: LoggedRun = { ...run, onNote: (text) => notes.push({ kind: "note", text }) };
    const names = run.config.run.log?.split(",") ?? [];
    const opened = names.map((name) => {
      const [, url] = /^mlflow=(.*)$/.exec(name) ?? [];
      return url === undefined ? tensorBoard(logged) : openMlflow(url, logged);
    });
    return new RunLogs(await Promise.all(opened), notes);
  }

  async begin(stepsDone: number): Promise<void> {
    for (const log of this.logs) await log.begin(stepsDone);
  }

  async take(record: MetricsRecord): Promise<void> {
    for (const log of this.logs) await log.take(record);
  }

  /** Ends the logs. Later calls do nothing. */
  async close(end: RunEnd): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const log of this.logs) await log.close(end);
  }

  *notes(): Generator<NoteEvent> {
    yield* this.waiting.splice(0);
  }
}
