import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { resolveModel } from "../../src/checkpoints/hub-node.ts";
import { UserError } from "../../src/errors.ts";

const TOKEN = "hf_secret";
const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const CONFIG = Buffer.from("{}");
const HASH = createHash("sha1").update(`blob ${CONFIG.length}\0`).update(CONFIG).digest("hex");

type Answer = (request: IncomingMessage, response: ServerResponse, foreign: string) => void;

/** What a hub may do instead of answering for information, a listing or a file. */
interface Hostility {
  info?: Answer;
  listing?: Answer;
  file?: Answer;
  /** How the sentence goes on in which it ends. */
  told: RegExp;
}

const json = (response: ServerResponse, value: unknown, headers: Record<string, string> = {}): void =>
  void response.writeHead(200, { "Content-Type": "application/json", ...headers }).end(JSON.stringify(value));
const entries = (size = CONFIG.length) =>
  ["config.json", "model.safetensors", "tokenizer.json"].map((path) => ({ type: "file", path, size, oid: HASH }));
/** Writes for as long as somebody listens. */
const flood = (response: ServerResponse, bytes: Buffer): void => {
  const write = (): void => {
    while (!response.destroyed && response.write(bytes));
    if (!response.destroyed) response.once("drain", write);
  };
  write();
};
const silence: Answer = () => undefined;
const endlessJson: Answer = (_, response) => {
  response.writeHead(200, { "Content-Type": "application/json" });
  response.write('{"x":"');
  flood(response, Buffer.alloc(2 ** 16, 120));
};
const redirect =
  (to: (request: IncomingMessage, foreign: string) => string): Answer =>
  (request, response, foreign) =>
    void response.writeHead(302, { Location: to(request, foreign) }).end();
const next = (url: string) => ({ Link: `<${url}>; rel="next"` });

const HOSTILITIES: Record<string, Hostility> = {
  "says nothing": { info: silence, told: /no data arrived for/ },
  "says nothing to a listing": { listing: silence, told: /no data arrived for/ },
  "stalls in a listing": {
    listing: (_, response) => void response.writeHead(200).write("["),
    told: /no data arrived for/,
  },
  "says nothing to a file": { file: silence, told: /broke off after 0 of .*no data arrived for/ },
  "stalls in a file": { file: (_, response) => void response.writeHead(200).write("{"), told: /no data arrived for/ },
  "answers without end": { info: endlessJson, told: /it sends more than/ },
  "lists without end": { listing: endlessJson, told: /it sends more than/ },
  "links a listing to itself": {
    listing: (request, response) => json(response, [], next(`http://${request.headers.host}${request.url}`)),
    told: /without an end/,
  },
  "links listings on and on": {
    listing: (request, response) =>
      json(response, [], next(`http://${request.headers.host}${request.url!.split("?")[0]}?cursor=${Math.random()}`)),
    told: /without an end/,
  },
  "links to another host": {
    listing: (_, response, foreign) => json(response, [], next(`${foreign}/page`)),
    told: /redirects to .* for the files/,
  },
  "redirects information to another host": {
    info: redirect((_, foreign) => `${foreign}/x`),
    told: /cannot reach|names no commit/,
  },
  "redirects a file to another host": { file: redirect((_, foreign) => `${foreign}/x`), told: /arrived damaged|bytes/ },
  "redirects to itself": { info: redirect(({ url }) => url!), told: /cannot reach .*redirect/ },
  "redirects a file to itself": { file: redirect(({ url }) => url!), told: /broke off .*redirect/ },
  "claims a size of zero": { listing: (_, response) => json(response, entries(0)), told: /bytes|damaged/ },
  "claims too small a size": {
    listing: (_, response) => json(response, entries(1)),
    told: /has 2 bytes, but 1 on the hub/,
  },
  "claims too large a size": {
    listing: (_, response) => json(response, entries(1e15)),
    told: /has 2 bytes, but \d+ on the hub/,
  },
  "floods a file": {
    file: (_, response) => flood(response.writeHead(200), Buffer.alloc(2 ** 16)),
    told: /has more bytes/,
  },
  "names files outside": {
    listing: (_, response) =>
      json(
        response,
        [...entries(), { ...entries()[0], path: "../../evil" }].map((e) => ({ ...e, oid: "../evil" })),
      ),
    told: /whose name is not safe/,
  },
  "answers with no JSON": { info: (_, response) => void response.end("<html>"), told: /cannot reach/ },
  "lists no array": { listing: (_, response) => json(response, { error: 1 }), told: /cannot reach|has no config/ },
  "sends another file": { file: (_, response) => void response.end("[]"), told: /arrived damaged/ },
  "closes the connection": { info: (_, response) => void response.destroy(), told: /cannot reach/ },
};

/**
 * Asks a hub for a model that does each of these in turn.
 * @param silence seconds that the hub may say nothing
 * @returns what was done, as a line
 * @throws where one does not end in a sentence in its time, takes memory, or gets the token to another host.
 */
export async function faceHostileHub({ silence }: { silence: number }): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), "aflora-hostile-"));
  const strangers: IncomingMessage[] = [];
  const stranger = await listen((request, response) => {
    strangers.push(request);
    json(response, []);
  });
  let longest = 0;
  let most = 0;
  try {
    for (const [name, { told, ...answers }] of Object.entries(HOSTILITIES)) {
      const hub = await listen((request, response) => {
        const what = /\/(resolve|tree)\//.exec(request.url!)?.[1];
        if (what === "resolve")
          return (answers.file ?? ((_, answer) => void answer.end(CONFIG)))(request, response, address(stranger));
        if (what === "tree")
          return (answers.listing ?? ((_, answer) => json(answer, entries())))(request, response, address(stranger));
        const info = { _id: "1", id: "a/b", sha: COMMIT, private: false, lastModified: "2024-01-01T00:00:00Z" };
        return (answers.info ?? ((_, answer) => json(answer, info)))(request, response, address(stranger));
      });
      const [started, before] = [performance.now(), process.memoryUsage.rss()];
      const options = {
        endpoint: address(hub),
        cache: join(home, name),
        token: TOKEN,
        timeout: silence,
        offline: false,
      };
      const error = await resolveModel("a/b", options).catch((reason: unknown) => reason);
      longest = Math.max(longest, performance.now() - started);
      most = Math.max(most, process.memoryUsage.rss() - before);
      await close(hub);
      assert(error instanceof UserError, `a hub that ${name}: ${error}`);
      assert.match(error.message, told, `a hub that ${name}`);
    }
    assert(strangers.length > 0);
    for (const { headers } of strangers) assert(!JSON.stringify(headers).includes(TOKEN), "the token left its origin");
    // Four tries in a row, and a wait after each; where no limit held, each would take half a minute or more.
    assert(longest < (4 * silence + 50) * 1000, `one took ${longest / 1000} s`);
    assert(most < 2 ** 28, `one took ${most} bytes`);
  } finally {
    await close(stranger);
    await rm(home, { recursive: true });
  }
  return `${Object.keys(HOSTILITIES).length} hostile hubs: each ended in a sentence, the slowest in ${(longest / 1000).toFixed(1)} s; no token left its origin; at most ${Math.ceil(most / 2 ** 20)} MiB more memory`;
}

async function listen(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<Server> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

function close(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}

const address = (server: Server): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
