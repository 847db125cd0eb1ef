import type { RunConfig } from "../../preparation/run-options-node.ts";
import type { MetricsRecord } from "../../training/training-records.ts";

/** Facts of a run with which its log begins. */
export interface LoggedRun {
  /** Path of the run folder. */
  directory: string;
  config: RunConfig;
  /** Whether the run resumes, so that its earlier log continues. */
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
