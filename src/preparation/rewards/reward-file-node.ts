import { once } from "node:events";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { opt, UserError } from "../../errors.ts";
import { ownUrl } from "../../files/package-place-node.ts";
import type { Reward, RewardFunction } from "../../tasks/reward-functions.ts";

/** Time limit for loading a file, in seconds. */
const LOADING = 60;
/** Limit on what a file's code keeps, in megabytes: in JavaScript's heap, and in buffers outside of it. */
const MEMORY = 2048;

/** A message of the worker: it is ready, the reward of an answer, what it returned instead, or an error. */
interface Word {
  ready?: boolean;
  returned?: number;
  /** Description of a value that is no number. */
  other?: string;
  thrown?: string;
  /** Bytes of its buffers, if they are too many. */
  kept?: number;
}

/**
 * The worker's code. It is text, so that it does not depend on the package's place. jiti reads TypeScript on Node versions that do not.
 * Values that are no numbers are described here: they may be too large to send.
 */
const CODE = `
const { inspect } = require("node:util");
const { parentPort, workerData } = require("node:worker_threads");
const { file, url, jiti, most } = workerData;
// Its output must not mix with the command's result. A pipe of the thread's own would keep the process alive.
process.stdout.write = (...written) => process.stderr.write(...written);
const shown = { depth: 1, maxArrayLength: 5, maxStringLength: 100, breakLength: Infinity };
const short = (text) => text.length > 300 ? text.slice(0, 300) + "…" : text;
const say = (value) => parentPort.postMessage(value);
const thrown = (error) => say({ thrown: short(String(error?.message ?? error)) });
const load = async () => jiti ? (await import(jiti)).createJiti(file).import(file) : import(url);
load().then((loaded) => {
  const reward = [loaded.default, loaded.reward, loaded].find((each) => typeof each === "function");
  parentPort.on("message", async (asked) => {
    try {
      const value = await reward(...asked);
      const kept = process.memoryUsage().arrayBuffers;
      if (kept > most) say({ kept });
      else say(typeof value === "number" ? { returned: value } : { other: short(inspect(value, shown)) });
    } catch (error) {
      thrown(error);
    }
  });
  say({ ready: reward !== undefined });
}).catch(thrown);
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
    if (!existsSync(file))
      throw new UserError(`${opt("reward")}: there is no file ${file}`, { code: "file-not-found" });
    const reward = new RewardWorker(file, seconds);
    await reward.#start();
    return reward;
  }

  /** @throws Error if the function throws, takes too long, ends its thread, or returns no number */
  async score(...asked: Parameters<RewardFunction>): Promise<number> {
    const worker = this.#worker ?? (await this.#start());
    const word = await this.#wordOf(worker, this.#seconds, () => worker.postMessage(asked));
    if (word.thrown !== undefined) throw new Error(`threw: ${word.thrown}`);
    if (word.kept !== undefined) {
      await this.release();
      throw new Error(`ended its thread: it kept ${Math.round(word.kept / 1e6)} MB in buffers`);
    }
    if (word.returned !== undefined) return word.returned;
    throw new Error(`returned no number, but ${word.other}`);
  }

  async release(): Promise<void> {
    await this.#worker?.terminate();
    this.#worker = undefined;
  }

  async #start(): Promise<Worker> {
    const file = this.#file;
    const isTyped = /\.[cm]?ts$/.test(file);
    const jiti = isTyped && pathToFileURL(createRequire(ownUrl()).resolve("jiti")).href;
    const worker = new Worker(CODE, {
      eval: true,
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: MEMORY },
      workerData: { file, url: pathToFileURL(file).href, jiti, most: MEMORY * 2 ** 20 },
    });
    this.#worker = worker;
    // An error after an answer, for example in a timer, ends the thread. The next call starts another.
    const forget = (): void => {
      if (this.#worker === worker) this.#worker = undefined;
    };
    worker.on("error", forget).on("exit", forget);
    // A call's time limit keeps the process alive while it waits.
    worker.unref();
    const word = await this.#wordOf(worker, LOADING).catch((error: Error) => {
      throw new UserError(`${opt("reward")}: ${file} cannot be loaded: it ${error.message}`);
    });
    if (word.ready) return worker;
    await this.release();
    if (word.thrown !== undefined) {
      throw new UserError(`${opt("reward")}: ${file} cannot be loaded: ${word.thrown.replace(/\s+/g, " ").trim()}`);
    }
    throw new UserError(
      `${opt("reward")}: ${file} exports no function; write export default (prompt, answer, row) => a number`,
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
      throw new Error(isLate ? `took more than ${seconds} s` : `ended its thread: ${shortened(error)}`);
    } finally {
      clearTimeout(timer);
      // The caller has given up.
      end.abort();
    }
  }
}

/** The message of an error, cut to a length that suits a record. */
function shortened(error: unknown): string {
  const text = String((error as Error)?.message ?? error);
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
}
