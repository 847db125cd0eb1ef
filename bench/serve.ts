/**
 * `aflora serve` under 32 parallel streams with clients that leave: its memory, and how many tokens are still written for a client after the last
 * that it took. Every third client leaves after one to eight tokens; the others take all 24.
 *
 *     npm run bench:serve -- [REQUESTS [MODEL]]
 *
 * REQUESTS are 2,000 where absent. MODEL is a language model's folder or GGUF file; where absent a small random one, whose tokens cost little.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { writeTinyLanguageModel } from "../test/support/tiny-language-model.ts";
import { refuse } from "./arguments.ts";
import { median } from "./random-model.ts";

const STREAMS = 32;
const TOKENS = 24;
/** Memory is shown so many times. */
const LOOKS = 8;
/** What the server says of an answer that has ended. */
const ANSWERED = /: (\d+) tokens read; (?:(\d+) written|none written)/;

/** The server in a process of its own. */
class Served {
  readonly process: ChildProcess;
  readonly url: string;
  /** Who waits for the end of an answer, by the number of its prompt's tokens: no two that are written at once have the same. */
  readonly #waiting = new Map<number, (written: number) => void>();

  private constructor(process: ChildProcess, url: string, lines: AsyncIterable<string>) {
    this.process = process;
    this.url = url;
    void this.#listen(lines);
  }

  static async start(model: string): Promise<Served> {
    const main = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));
    const child = spawn(process.execPath, [...process.execArgv, main, "serve", "--model", model, "--port", "0"], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    const lines = createInterface({ input: child.stderr! })[Symbol.asyncIterator]();
    for (;;) {
      const { value, done } = await lines.next();
      if (done) refuse(`${model} cannot be served`);
      const [, url] = /^serving .* at (\S+)$/.exec(value) ?? [];
      if (url !== undefined) return new Served(child, url, { [Symbol.asyncIterator]: () => lines });
    }
  }

  async #listen(lines: AsyncIterable<string>): Promise<void> {
    for await (const line of lines) {
      const [, read, written = "0"] = ANSWERED.exec(line) ?? [];
      if (read !== undefined) this.#waiting.get(Number(read))?.(Number(written));
    }
  }

  /** How many tokens were written of the next answer to a prompt of so many. */
  written(promptTokens: number): Promise<number> {
    return new Promise((resolve) => this.#waiting.set(promptTokens, resolve));
  }

  /** Resident memory in MB. */
  memory(): number {
    return Number(execFileSync("ps", ["-o", "rss=", "-p", String(this.process.pid)], { encoding: "utf8" })) / 1000;
  }
}

/** Tokens of a streamed event. */
function tokensOf(line: string): number {
  if (!line.startsWith("data: {")) return 0;
  const { choices, error } = JSON.parse(line.slice("data: ".length)) as {
    choices: { logprobs: { tokens: string[] } | null }[];
    error?: { message: string };
  };
  if (error) throw new Error(error.message);
  return choices.reduce((sum, { logprobs }) => sum + (logprobs?.tokens.length ?? 0), 0);
}

/** Streams an answer, and leaves after so many tokens. @returns the tokens that came */
async function streamed(url: string, body: object, leaveAfter: number): Promise<number> {
  const abort = new AbortController();
  const response = await fetch(`${url}/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...body, max_tokens: TOKENS, stream: true, logprobs: 0, temperature: 1 }),
    signal: abort.signal,
  });
  if (!response.ok) throw new Error(await response.text());
  let tokens = 0;
  let rest = "";
  for await (const text of response.body!.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    tokens += lines.reduce((sum, line) => sum + tokensOf(line), 0);
    if (tokens < leaveAfter) continue;
    abort.abort();
    break;
  }
  return tokens;
}

const [requests = "2000", given] = process.argv.slice(2);
if (!/^[1-9]\d*$/.test(requests)) refuse(`"${requests}" is no number of requests`);
const home = await mkdtemp(join(tmpdir(), "aflora-serve-"));
const served = await Served.start(given ?? (await writeTinyLanguageModel(join(home, "model"))));
const { data } = (await (await fetch(`${served.url}/models`)).json()) as { data: { id: string }[] };
const model = data[0]!.id;

/** Tokens that were written for a client after the last one that it took. */
const late: number[] = [];
let next = 0;
const look = Math.ceil(Number(requests) / LOOKS);
const memory: string[] = [];
const began = performance.now();

/** One client after the other, each with a prompt as long as no other stream's. */
async function stream(place: number): Promise<void> {
  const prompt = Array.from({ length: place + 1 }, () => " a").join("");
  const asked = await fetch(`${served.url}/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model, prompt, max_tokens: 1 }),
  });
  const { usage } = (await asked.json()) as { usage: { prompt_tokens: number } };
  while (next < Number(requests)) {
    const number = next++;
    if (number % look === 0) memory.push(served.memory().toFixed(0));
    const leaves = number % 3 === 0;
    const written = served.written(usage.prompt_tokens);
    const taken = await streamed(served.url, { model, prompt, seed: number }, leaves ? 1 + (number % 8) : Infinity);
    if (leaves) late.push((await written) - taken);
  }
}

await Promise.all(Array.from({ length: STREAMS }, (_, place) => stream(place)));
memory.push(served.memory().toFixed(0));
const seconds = (performance.now() - began) / 1000;
served.process.kill();
await once(served.process, "exit");
await rm(home, { recursive: true });
const atMost = (most: number): string => ((100 * late.filter((each) => each <= most).length) / late.length).toFixed(1);
console.log(
  `${requests} requests in ${STREAMS} streams in ${seconds.toFixed(0)} s, ${late.length} of whose clients left: after their last token ` +
    `${median(late)} were written in the middle, at most 1 for ${atMost(1)} %, at most 2 for ${atMost(2)} %, ${Math.max(...late)} at most`,
);
console.log(`memory of the server, from first to last: ${memory.join(", ")} MB`);
