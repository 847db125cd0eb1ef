import { once } from "node:events";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { UserError } from "../../errors.ts";
import { ownUrl } from "../../files/package-place-node.ts";
import type { Reward, RewardFunction } from "../../tasks/reward-functions.ts";

/** Time limit for loading a file, in seconds. */
const LOADING = 60;

/** A message of the worker: it is ready, the reward of an answer, or an error. */
interface Word {
  ready?: boolean;
  returned?: unknown;
  thrown?: string;
}

/**
 * The worker's code. It is text, so that it does not depend on the package's place. jiti reads TypeScript on Node versions that do not.
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
 * A reward function that is the default export of a user's file. It runs in a worker thread: a call that takes too long ends the
 * thread, and only its answer has no reward.
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
   * @param file absolute path
   * @param seconds time limit for the reward of an answer
   * @throws UserError if the file is missing, cannot be loaded, or exports no function
   */
  static async start(file: string, seconds: number): Promise<RewardWorker> {
    if (!existsSync(file)) throw new UserError(`--reward: there is no file ${file}`);
    const reward = new RewardWorker(file, seconds);
    await reward.#start();
    return reward;
  }

  /** @throws Error if the function throws, takes too long, ends its thread, or returns no number */
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
    const jiti = isTyped && pathToFileURL(createRequire(ownUrl()).resolve("jiti")).href;
    // Its output must not mix with the command's result.
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

  /** Returns the worker's next message. A worker that is late is ended; the next call starts another. */
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
      // The caller has given up.
      end.abort();
    }
  }
}
