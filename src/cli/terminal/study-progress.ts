import type { StudyProgress } from "../../studies/run-study.ts";
import type { Trial } from "../../studies/study.ts";
import type { ProgressEvent } from "../../training/progress.ts";
import { inFlags } from "../help.ts";
import { duration } from "./format.ts";
import { say } from "./print.ts";
import { StageLines } from "./stage-lines.ts";
import { StatusLines } from "./status-lines.ts";

/** Progress of a study on stderr: a line for each trial, and on a terminal the progress of the current one. */
export class StudyProgressLines implements StudyProgress {
  /** Undefined if stderr is no terminal. */
  protected readonly status = process.stderr.isTTY ? new StatusLines(process.stderr) : undefined;
  readonly #started = performance.now();
  readonly isTerminal = this.status !== undefined;
  readonly #stages = new StageLines(this);
  #begun = 0;
  #trial = "";
  #left = 0;

  /** Shows that trials are planned, if that takes long before the first one begins. */
  plan(): void {
    this.#stages.take({ stage: "planning the trials", done: 0, unit: "trials" });
  }

  onTrial({ seed }: Trial, label: string, count: number, total: number): void {
    this.#stages.end();
    const seconds = (performance.now() - this.#started) / 1000;
    // Finished trials from before took no time.
    this.#left = total - count + 1;
    const eta = this.#begun > 0 ? `, about ${duration((seconds / this.#begun) * this.#left)} left` : "";
    this.#begun++;
    this.#trial = `[${count}/${total}] ${label}, seed ${seed}`;
    this.log(`${this.#trial}${eta}`);
  }

  onFailure(directory: string, reason: string): void {
    this.log(`${directory} failed: ${reason}; continuing with the others`);
  }

  onNote(note: string): void {
    this.log(inFlags(note));
  }

  /** Shows the progress of a trial's stage. */
  news(progress: ProgressEvent): void {
    this.#stages.take({ ...progress, stage: `${this.#trial}: ${progress.stage}` });
  }

  show(line: string): void {
    if (this.status) this.status.set([line]);
    else this.log(line);
  }

  log(line: string): void {
    if (this.status) this.status.log(line);
    else say(`${line}\n`);
  }

  stop(): void {
    this.#stages.end();
    this.status?.end();
  }
}
