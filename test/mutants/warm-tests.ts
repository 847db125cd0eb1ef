import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const PROGRAM = fileURLToPath(new URL("warm-vitest.mjs", import.meta.url));

/** A process that keeps vitest loaded, from one change to the next; another follows one that hung. */
export class WarmTests {
  readonly #root: string;
  #child: ChildProcess | undefined;

  constructor(root: string) {
    this.#root = root;
  }

  /** The first test that fails; or that they take longer than `limit` milliseconds; undefined if all pass in time. */
  async failure(changed: string, tests: readonly string[], limit: number): Promise<string | undefined> {
    const child = await this.#started();
    child.send({ changed, tests });
    const end = new AbortController();
    const timer = setTimeout(() => end.abort(), limit);
    try {
      const [{ by }] = await once(child, "message", { signal: end.signal });
      return by;
    } catch (error) {
      if (!end.signal.aborted) throw error;
      this.close();
      return `more than ${limit} ms`;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends the process with its workers. */
  close(): void {
    if (this.#child) process.kill(-this.#child.pid!, "SIGKILL");
    this.#child = undefined;
  }

  async #started(): Promise<ChildProcess> {
    if (this.#child) return this.#child;
    this.#child = fork(PROGRAM, [this.#root], { cwd: this.#root, detached: true, execArgv: [], silent: true });
    await once(this.#child, "message");
    return this.#child;
  }
}
