import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from "vitest";
import { LOADER } from "./project.ts";

/** They train: seconds, but on a busy machine minutes. */
const TIMEOUT = 300_000;

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-examples-"));
});
afterAll(() => rm(home, { recursive: true }));

/** Node's arguments that run an example of the installed package, as a user would. */
function example(name: string): string[] {
  const file = join(inject("installation").project, "node_modules/aflora/examples", `${name}.ts`);
  return ["--import", LOADER, file, join(home, name)];
}

/** @returns what it printed */
async function run(name: string): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, example(name));
  return stdout;
}

test(
  "support tickets are routed to their teams",
  async () => {
    const printed = await run("route-tickets");
    const best = Math.max(...[...printed.matchAll(/accuracy (\d\.\d+)/g)].map(([, accuracy]) => Number(accuracy)));
    expect(best).toBeGreaterThan(0.8);
    expect(printed).toMatch(/matrices froze/);
    expect(printed).toMatch(/You took the money twice this month → billing/);
    expect(printed).toMatch(/route-tickets-onnx: logits equal on 22 texts/);
    const config = JSON.parse(await readFile(join(home, "route-tickets-onnx", "config.json"), "utf8"));
    expect(Object.values(config.id2label)).toEqual(["account", "billing", "shipping", "technical"]);
  },
  TIMEOUT,
);

test(
  "two methods are compared in one report",
  async () => {
    const printed = await run("compare-methods");
    expect(printed).toMatch(/aflora.*\n.*lora/);
    expect(await readFile(join(home, "compare-methods", "comparison.html"), "utf8")).toContain("2 runs compared");
  },
  TIMEOUT,
);

test(
  "two adapters over one encoder answer over HTTP",
  async () => {
    const server = spawn(process.execPath, [...example("serve-adapters"), "0"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    onTestFinished(() => void server.kill("SIGKILL"));
    const [line] = await once(server.stdout, "data");
    const url = /http:\S+/.exec(String(line))![0];
    const ask = async (question: string, text: string) =>
      (await fetch(`${url}/${question}?text=${encodeURIComponent(text)}`)).json();

    const text = "Somebody took my parcel, there is nothing at my door";
    const [team, urgent] = await Promise.all([ask("team", text), ask("urgent", text)]);
    expect(team.label).toBe("shipping");
    expect(team.labels).toHaveLength(4);
    expect(urgent.labels.map(({ label }: { label: string }) => label).sort()).toEqual(["no", "yes"]);
    expect(await ask("team", text)).toEqual(team);
    expect((await fetch(`${url}/team`)).status).toBe(400);
    expect((await fetch(`${url}/weather?text=x`)).status).toBe(404);

    const { port } = new URL(url);
    for (const [request, status] of [
      ["GET // HTTP/1.1", 404],
      ["GET http://[ HTTP/1.1", 404],
      ["GET /team?text=%E0%A4%A HTTP/1.1", 200],
      ["GET * HTTP/1.1", 404],
      ["POST /team?text=x HTTP/1.1\r\nContent-Length: 1000000000", 405],
      ["GET /team?text=x HTTP/1.1\r\nTransfer-Encoding: chunked", 413],
      [`GET /${"x".repeat(20_000)} HTTP/1.1`, 431],
      ["\0\u00ff", 400],
    ] as const) {
      const socket = connect(Number(port), "127.0.0.1");
      socket.end(`${request}\r\nHost: x\r\nConnection: close\r\n\r\n`);
      const [answer] = await once(socket, "data");
      expect(String(answer).slice(9, 12), request).toBe(String(status));
      socket.destroy();
    }
    // More at a time than may wait: some are told so, none is lost.
    const many = await Promise.all(Array.from({ length: 100 }, () => fetch(`${url}/team?text=x`)));
    for (const { status } of many) expect([200, 503]).toContain(status);
    expect(await ask("team", text)).toEqual(team);

    server.kill("SIGTERM");
    // Windows ends a process without asking it.
    expect(await once(server, "exit")).toEqual(process.platform === "win32" ? [null, "SIGTERM"] : [0, null]);
  },
  TIMEOUT,
);
