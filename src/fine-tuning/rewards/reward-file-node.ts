import { once } from "node:events";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { UserError } from "../../errors.ts";
import type { Reward, RewardFunction } from "../../tasks/reward-functions.ts";

/** Seconds in which a file must be loaded. */
const LOADING = 60;

/** What the worker says: that it is ready, what an answer got, or what was thrown. */
interface Word {
  ready?: boolean;
  returned?: unknown;
  thrown?: string;
}

/**
 * What runs in the worker: it is text, so that it is the same wherever the package lies. Old Node versions do not read TypeScript; jiti does.
 */
const CODE = `
const { parentPort, workerData } = require("node:worker_threads");
const { file, url, jiti } = workerData;
const load = async () => jiti ? (await import(jiti)).createJiti(file).import(file) : import(url);
load().then((loaded) => {
  const reward = [loaded.default, loaded.reward, loaded].find((each) => typeof each === "function");
  parentPort.on("message", async (asked) => {
    try {
      parentPort.postMessage({ returned: await reward(...asked) });
    } catch (error) {
      parentPort.postMessage({ thrown: String(error?.message ?? error) });
    }
  });
  parentPort.postMessage({ ready: reward !== undefined });
}).catch((error) => parentPort.postMessage({ thrown: String(error?.message ?? error) }));
`;

/**
 * A reward that is the default export of a file of the user's own. It runs in a thread of its own: one that takes too long is ended,
 * and costs its answer alone.
 */
export class RewardWorker implements Reward {
  readonly #file: string;
  readonly #seconds: number;
  #worker: Worker | undefined;

  private constructor(file: string, seconds: number) {
    this.#file = file;
    this.#seconds = seconds;
  }

  /**
   * @param file absolute
   * @param seconds after which an answer's reward is given up
   * @throws UserError where the file is missing, cannot be loaded, or exports no function.
   */
  static async start(file: string, seconds: number): Promise<RewardWorker> {
    if (!existsSync(file)) throw new UserError(`--reward: there is no file ${file}`);
    const reward = new RewardWorker(file, seconds);
    await reward.#start();
    return reward;
  }

  /** @throws Error where it throws, takes too long, ends its thread, or returns no number. */
  async score(...asked: Parameters<RewardFunction>): Promise<number> {
    const worker = this.#worker ?? (await this.#start());
    const word = await this.#wordOf(worker, this.#seconds, () => worker.postMessage(asked));
    if (word.thrown !== undefined) throw new Error(`threw: ${word.thrown}`);
    if (typeof word.returned === "number") return word.returned;
    throw new Error(`returned no number, but ${JSON.stringify(word.returned)}`);
  }

  async release(): Promise<void> {
    await this.#worker?.terminate();
    this.#worker = undefined;
  }

  async #start(): Promise<Worker> {
    const file = this.#file;
    const isTyped = /\.[cm]?ts$/.test(file);
    const jiti = isTyped && pathToFileURL(createRequire(import.meta.url).resolve("jiti")).href;
    // What it prints is no result of the command.
    const worker = new Worker(CODE, {
      eval: true,
      execArgv: [],
      stdout: true,
      workerData: { file, url: pathToFileURL(file).href, jiti },
    });
    worker.stdout.pipe(process.stderr, { end: false });
    this.#worker = worker;
    const word = await this.#wordOf(worker, LOADING).catch((error: Error) => {
      throw new UserError(`--reward: ${file} cannot be loaded: it ${error.message}`);
    });
    if (word.ready) return worker;
    await this.release();
    if (word.thrown !== undefined) {
      throw new UserError(`--reward: ${file} cannot be loaded: ${word.thrown.replace(/\s+/g, " ").trim()}`);
    }
    throw new UserError(
      `--reward: ${file} exports no function; write export default (prompt, answer, row) => a number`,
    );
  }

  /** What the worker says next; one that says nothing in time is ended, and another started when it is needed. */
  async #wordOf(worker: Worker, seconds: number, ask?: () => void): Promise<Word> {
    const end = new AbortController();
    const { signal } = end;
    const timer = setTimeout(() => end.abort(), seconds * 1000);
    try {
      const said = once(worker, "message", { signal });
      const gone = once(worker, "exit", { signal }).then(() => Promise.reject(new Error("process.exit")));
      ask?.();
      const [word] = await Promise.race([said, gone]);
      return word as Word;
    } catch (error) {
      const isLate = signal.aborted;
      this.#worker = undefined;
      await worker.terminate();
      throw new Error(isLate ? `took more than ${seconds} s` : `ended its thread: ${(error as Error).message}`);
    } finally {
      clearTimeout(timer);
      // Nobody listens any longer.
      end.abort();
    }
  }
}
