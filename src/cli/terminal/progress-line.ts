import { say } from "./print.ts";
import { StageLines } from "./stage-lines.ts";
import { StatusLines } from "./status-lines.ts";

/** Progress of a task with many equal parts, on stderr: a line that changes on a terminal, otherwise a few lines. */
export class ProgressLine {
  readonly #stage: string;
  readonly #unit: string;
  readonly #of: number | undefined;
  readonly #status = process.stderr.isTTY ? new StatusLines(process.stderr) : undefined;
  readonly #lines = new StageLines(
    {
      show: (line) => {
        this.#status?.set([line]);
        return this.#status !== undefined;
      },
      log: (line) => say(`${line}\n`),
    },
    performance.now(),
  );

  /**
   * @param stage such as `computing vectors`
   * @param unit such as `texts`
   * @param of total number, if known
   */
  constructor(stage: string, unit: string, of?: number) {
    this.#stage = stage;
    this.#unit = unit;
    this.#of = of;
    this.at(0);
  }

  /** @param of total number, if it became known later @param more additional text */
  at(done: number, { of = this.#of, more = "" }: { of?: number | undefined; more?: string } = {}): void {
    this.#lines.take({ stage: this.#stage, done, total: of, unit: this.#unit }, more);
  }

  end(): void {
    this.#status?.end();
  }
}
