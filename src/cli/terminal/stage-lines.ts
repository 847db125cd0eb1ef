import { StageText } from "../../reports/stage-text.ts";
import type { ProgressEvent } from "../../training/progress.ts";
import { duration } from "./format.ts";

/** Milliseconds after which a stage has a line, and between two of its lines in a log. */
const FIRST_LINE = 2000;
const INTERVAL = 10_000;

/** Where lines go: to a terminal, on which one changes, or to a log. */
interface Lines {
  readonly isTerminal: boolean;
  /** Shows a line of a stage: on a terminal, instead of the line before. */
  show(line: string): void;
}

/** Progress of stages, one after the other. A short stage has no line, and in a log a long one has few. */
export class StageLines {
  readonly #lines: Lines;
  readonly #text = new StageText(duration);
  #stage: string | undefined;
  #line = "";
  #hasLine = false;
  #saidAt = performance.now();
  /** Shows the stage if no progress of it follows. */
  #timer: NodeJS.Timeout | undefined;

  constructor(lines: Lines) {
    this.#lines = lines;
  }

  /** @param more additional text */
  take(progress: Omit<ProgressEvent, "kind">, more = ""): void {
    this.#line = `${this.#text.of(progress)}${more}`;
    const isNew = progress.stage !== this.#stage;
    const isDone = progress.done === progress.total;
    if (isNew || isDone) this.end();
    if (isNew) [this.#stage, this.#hasLine] = [progress.stage, false];
    const silence = performance.now() - this.#saidAt;
    const interval = this.#lines.isTerminal ? 0 : INTERVAL;
    // A new stage may keep the thread to itself, so that it cannot be shown later.
    const isDue = isNew ? silence >= FIRST_LINE : this.#hasLine ? silence >= interval : this.#text.age >= FIRST_LINE;
    if (isDue && (this.#lines.isTerminal || !isDone)) this.#show(!isNew);
    else if (isNew && !isDone) this.#timer = setTimeout(() => this.#show(true), FIRST_LINE).unref();
  }

  /** Ends the stage: it is not shown later. */
  end(): void {
    clearTimeout(this.#timer);
  }

  /** @param counts whether the line says how much is done */
  #show(counts: boolean): void {
    this.end();
    this.#hasLine = counts;
    this.#saidAt = performance.now();
    this.#lines.show(this.#line);
  }
}
