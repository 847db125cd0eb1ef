import type { RunConfig } from "../../preparation/run-options-node.ts";
import type { MetricsRecord } from "../../training/training-records.ts";

export interface LoggedRun {
  directory: string;
  config: RunConfig;
  resumes: boolean;
  onNote(text: string): void;
}

/** How a run ended: `paused` can be resumed. */
export type RunEnd = "finished" | "paused" | "failed";

/** A place that the records of a run are written to beside its folder, for another tool. */
export interface RunLog {
  /** Begins or continues the log, after the run folder is there. @param stepsDone before this process */
  begin(stepsDone: number): Promise<void>;
  take(record: MetricsRecord): Promise<void>;
  close(end: RunEnd): Promise<void>;
}
