import { StageText } from "../../reports/stage-text.ts";
import type { ProgressEvent } from "../../training/progress.ts";
import { duration } from "./format.ts";

/** Milliseconds after which a stage has a line in a log, and between two of its lines. */
const FIRST_LINE = 2000;
const INTERVAL = 10_000;
/** Milliseconds of silence after which a new stage has a line at once. */
const SILENCE = 1000;

/** Where lines go: to a terminal, on which one changes, or to a log. */
interface Lines {
  /** Shows a line that changes, if there is a terminal. @returns whether there is */
  show(line: string): boolean;
  /** Prints a line. */
  log(line: string): void;
}

/** Progress of stages, one after the other. In a log, a long stage has few lines, and a short one none. */
export class StageLines {
  readonly #lines: Lines;
  readonly #text = new StageText(duration);
  #stage: string | undefined;
  #hasLine = false;
  #saidAt: number;

  /** @param saidAt time of the last line before, by `performance.now()` */
  constructor(lines: Lines, saidAt = Number.NEGATIVE_INFINITY) {
    this.#lines = lines;
    this.#saidAt = saidAt;
  }

  /** @param more additional text */
  take(progress: Omit<ProgressEvent, "kind">, more = ""): void {
    const line = `${this.#text.of(progress)}${more}`;
    if (this.#lines.show(line)) return;
    const now = performance.now();
    const isNew = progress.stage !== this.#stage;
    if (isNew) [this.#stage, this.#hasLine] = [progress.stage, false];
    const silence = now - this.#saidAt;
    const isDue = isNew ? silence >= SILENCE : this.#hasLine ? silence >= INTERVAL : this.#text.age >= FIRST_LINE;
    if (!isDue || progress.done === progress.total) return;
    this.#hasLine = !isNew;
    this.#saidAt = now;
    this.#lines.log(line);
  }
}
