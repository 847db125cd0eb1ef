import { basename } from "node:path";
import type { OnRead } from "../../datasets/text-pieces-node.ts";
import { say } from "./print.ts";
import { StageLines } from "./stage-lines.ts";
import { StatusLines } from "./status-lines.ts";

/** Progress of a task with many equal parts, on stderr: a line that changes on a terminal, otherwise a few lines. */
export class ProgressLine {
  readonly #stage: string;
  readonly #unit: string;
  readonly #of: number | undefined;
  readonly #status = process.stderr.isTTY ? new StatusLines(process.stderr) : undefined;
  readonly #lines = new StageLines({
    isTerminal: this.#status !== undefined,
    show: (line) => (this.#status ? this.#status.set([line]) : say(`${line}\n`)),
  });

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

  /** Leaves the latest line on a terminal. */
  end(): void {
    this.#lines.end();
    this.#status?.end();
  }
}

/** Shows a stage without parts until a promise is done, if that takes long. */
export function whilePending<Result>(stage: string, work: Promise<Result>): Promise<Result> {
  const line = new ProgressLine(stage, "parts");
  return work.finally(() => line.end());
}

/** Shows how much of a file is read, if that takes long. */
export function whileReading<Result>(file: string, read: (onRead: OnRead) => Promise<Result>): Promise<Result> {
  const line = new ProgressLine(`reading ${basename(file)}`, "MB");
  return read((done, total) => line.at(done / 1e6, { of: total && total / 1e6 })).finally(() => line.end());
}
