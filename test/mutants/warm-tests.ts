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

  /** Whether one of the test files fails, or all of them take longer than `limit` milliseconds. */
  async fail(changed: string, tests: readonly string[], limit: number): Promise<boolean> {
    const child = await this.#started();
    child.send({ changed, tests });
    const end = new AbortController();
    const timer = setTimeout(() => end.abort(), limit);
    try {
      const [{ failed }] = await once(child, "message", { signal: end.signal });
      return failed;
    } catch (error) {
      if (!end.signal.aborted) throw error;
      this.close();
      return true;
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
