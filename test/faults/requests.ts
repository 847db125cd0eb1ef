import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { Aflora } from "../support/aflora.ts";
import { writeTinyLanguageModel } from "../support/tiny-language-model.ts";
import { pick, randomOf } from "./program.ts";

/** Bytes by which the server's memory at the end may exceed that after half of the requests. */
const LEVEL = 32 * 2 ** 20;
const DEPTH = 200_000;
/** Milliseconds between two looks at whether the server still answers. */
const LOOKING = 50;

type Post = (body: string, signal?: AbortSignal) => Promise<Response>;

const ask = (more: object): string =>
  JSON.stringify({ model: "model", messages: [{ role: "user", content: "Where is it?" }], max_tokens: 8, ...more });

/** What is sent, and what it must be answered with. */
const REQUESTS: Record<string, (post: Post, seed: number) => Promise<void>> = {
  async whole(post, seed) {
    const response = await post(ask({ temperature: 1, seed }));
    assert.equal(response.status, 200);
    await response.json();
  },
  async streamed(post, seed) {
    const response = await post(ask({ temperature: 1, seed, stream: true }));
    assert.match(await response.text(), /data: \[DONE\]\s*$/);
  },
  async abandoned(post, seed) {
    const leaving = new AbortController();
    const response = await post(ask({ temperature: 1, seed, stream: true, max_tokens: 200 }), leaving.signal);
    await response.body!.getReader().read();
    leaving.abort();
  },
  async deep(post) {
    const nested = "[".repeat(DEPTH) + "]".repeat(DEPTH);
    const bodies = [`{"model":"model","messages":${nested}}`, ask({ messages: [callOf(nested)] })];
    for (const body of bodies) await refusedWith(400, await post(body));
  },
  large: async (post) => refusedWith(413, await post(ask({ user: "x".repeat(1_000_000) }))),
  /** A schema that takes much to follow is followed, or refused in a sentence. */
  async schema(post, seed) {
    const pattern = ["^[^x]*a[^x]{1000}$", "^(((a+a{0,99}){1,99}){1,99}){35,99}$", "^(a|b)*a(a|b){300}$"][seed % 3]!;
    const schema = { type: "string", pattern };
    const response = await post(ask({ response_format: { type: "json_schema", json_schema: { name: "x", schema } } }));
    if (response.status === 200) await response.json();
    else await refusedWith(400, response);
  },
  unknown: async (post) => refusedWith(404, await post(ask({ model: "another" }))),
};

const callOf = (written: string): object => ({
  role: "assistant",
  tool_calls: [{ id: "1", type: "function", function: { name: "f", arguments: written } }],
});

async function refusedWith(status: number, response: Response): Promise<void> {
  const { error } = (await response.json()) as { error: { message: string } };
  assert.equal(response.status, status, error.message);
  assert.match(error.message, /^[^\n]{1,300}$/);
}

/**
 * Sends a server so many requests, some at a time, of which most are bad or are not waited for, and looks at its memory.
 * @returns its resident memory over the requests and the longest time for an answer of /health, as a line
 * @throws where it keeps growing, ends, or answers with anything but what it must.
 */
export async function sendRequests({
  count,
  seed,
  together,
}: Record<"count" | "seed" | "together", number>): Promise<string> {
  const random = randomOf(seed);
  const home = await mkdtemp(join(tmpdir(), "aflora-requests-"));
  const model = await writeTinyLanguageModel(join(home, "model"));
  const server = new Aflora(["serve", "--model", model, "--port", "0", "--threads", "1"], home);
  try {
    const [, url] = await server.says(/ at (http\S+)/);
    const headers = { "content-type": "application/json" };
    const post: Post = (body, signal) =>
      fetch(`${url}/chat/completions`, { method: "POST", headers, body, signal: signal ?? null });
    const looks: number[] = [];
    let sent = 0;
    const send = async (): Promise<void> => {
      while (sent < count) {
        const number = ++sent;
        await REQUESTS[pick(Object.keys(REQUESTS), random)]!(post, number);
        if (number % Math.ceil(count / 4) === 0) looks.push(await residentBytes(server.process.pid!));
      }
    };
    const ended = new AbortController();
    const slowest = slowestAnswer(new URL("/health", url), ended.signal);
    await Promise.all(Array.from({ length: together }, send));
    ended.abort();
    looks.push(await residentBytes(server.process.pid!));
    const told = looks.map((bytes) => (bytes / 2 ** 20).toFixed(1)).join(", ");
    assert(looks.at(-1)! - looks[1]! < LEVEL, `the memory grows: ${told} MiB`);
    server.process.kill("SIGTERM");
    const { code, stderr } = await server.ended;
    assert.equal(code, 0, stderr);
    return `${count} requests, ${together} at a time, each answered as it must be: ${told} MiB resident at the quarters; /health answered in ${Math.ceil(await slowest)} ms at most`;
  } finally {
    server.process.kill("SIGKILL");
    await server.ended;
    await rm(home, { recursive: true });
  }
}

/** The longest time that an address takes to answer, in milliseconds, until a signal. */
async function slowestAnswer(url: URL, ended: AbortSignal): Promise<number> {
  let longest = 0;
  while (!ended.aborted) {
    const asked = performance.now();
    assert.equal((await fetch(url)).status, 200);
    longest = Math.max(longest, performance.now() - asked);
    await new Promise((resolve) => setTimeout(resolve, LOOKING));
  }
  return longest;
}

/** Of a process of this machine. */
async function residentBytes(pid: number): Promise<number> {
  const { stdout } = await promisify(execFile)("ps", ["-o", "rss=", "-p", String(pid)]);
  return Number(stdout) * 1024;
}
