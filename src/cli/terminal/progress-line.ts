import { duration, integer } from "./format.ts";
import { StatusLines } from "./status-lines.ts";

/** Plain lines come at most this often, milliseconds. */
const INTERVAL = 10_000;

/** How far something of many equal parts is, on stderr: a line that changes on a terminal, else one every ten seconds. */
export class ProgressLine {
  readonly #what: string;
  readonly #of: number | undefined;
  readonly #status = process.stderr.isTTY ? new StatusLines(process.stderr) : undefined;
  readonly #started = performance.now();
  #said = this.#started;

  /** @param of how many there are, where it is known */
  constructor(what: string, of?: number) {
    this.#what = what;
    this.#of = of;
  }

  /** @param of where it became known later @param more what else is known by now */
  at(done: number, { of = this.#of, more = "" }: { of?: number | undefined; more?: string } = {}): void {
    const now = performance.now();
    const seconds = (now - this.#started) / 1000;
    const left = of === undefined ? "" : `, ${duration((seconds / done) * (of - done))} left`;
    const all = of === undefined ? "" : ` of ${integer(of)}`;
    const line = `${integer(done)}${all} ${this.#what}, ${integer(done / seconds)} a second${left}${more}`;
    if (this.#status) this.#status.set([line]);
    else if (now - this.#said >= INTERVAL) {
      this.#said = now;
      process.stderr.write(`${line}\n`);
    }
  }

  end(): void {
    this.#status?.end();
  }
}
