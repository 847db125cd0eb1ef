import { duration, integer } from "./format.ts";
import { say } from "./print.ts";
import { StatusLines } from "./status-lines.ts";

/** Minimum milliseconds between two plain lines. */
const INTERVAL = 10_000;

/** Progress of a task with many equal parts, on stderr: a line that changes on a terminal, otherwise a line every ten seconds. */
export class ProgressLine {
  readonly #what: string;
  readonly #of: number | undefined;
  readonly #status = process.stderr.isTTY ? new StatusLines(process.stderr) : undefined;
  readonly #started = performance.now();
  #said = this.#started;

  /** @param of total number, if known */
  constructor(what: string, of?: number) {
    this.#what = what;
    this.#of = of;
  }

  /** @param of total number, if it became known later @param more additional text */
  at(done: number, { of = this.#of, more = "" }: { of?: number | undefined; more?: string } = {}): void {
    const now = performance.now();
    const seconds = (now - this.#started) / 1000;
    const left = of === undefined ? "" : `, ${duration((seconds / done) * (of - done))} left`;
    const all = of === undefined ? "" : ` of ${integer(of)}`;
    const line = `${integer(done)}${all} ${this.#what}, ${integer(done / seconds)} a second${left}${more}`;
    if (this.#status) this.#status.set([line]);
    else if (now - this.#said >= INTERVAL) {
      this.#said = now;
      say(`${line}\n`);
    }
  }

  end(): void {
    this.#status?.end();
  }
}
