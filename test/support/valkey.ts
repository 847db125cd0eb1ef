import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { Redis } from "ioredis";

const PROGRAM = "/usr/bin/valkey-server";

/** Why there is no server to test with; undefined where there is. */
export const noValkey = existsSync(PROGRAM) ? undefined : `${PROGRAM} is not here`;

/** A real server on 127.0.0.1 that keeps what it holds in a folder. */
export class Valkey {
  readonly port: number;
  readonly #directory: string;
  readonly #more: readonly string[];
  #process: ChildProcess | undefined;

  private constructor(port: number, directory: string, more: readonly string[]) {
    this.port = port;
    this.#directory = directory;
    this.#more = more;
  }

  /** @param more flags of valkey-server */
  static async start(directory: string, more: readonly string[] = []): Promise<Valkey> {
    const server = new Valkey(await freePort(), directory, more);
    await server.#start();
    return server;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  client(): Redis {
    return new Redis(this.url);
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.#start();
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#process!.once("exit", resolve));
    this.#process!.kill("SIGTERM");
    await ended;
  }

  async #start(): Promise<void> {
    const flags = ["--port", String(this.port), "--bind", "127.0.0.1", "--dir", this.#directory, "--save", ""];
    const kept = ["--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"];
    const server = spawn(PROGRAM, [...flags, ...kept, ...this.#more], { stdio: ["ignore", "pipe", "inherit"] });
    this.#process = server;
    let said = "";
    await new Promise<void>((resolve, reject) => {
      server.stdout.setEncoding("utf8").on("data", (text: string) => {
        said += text;
        if (said.includes("Ready to accept connections")) resolve();
      });
      server.once("exit", () => reject(new Error(`${PROGRAM} ended:\n${said}`)));
    });
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
      .once("error", reject)
      .listen(0, "127.0.0.1", () => {
        const { port } = server.address() as { port: number };
        server.close(() => resolve(port));
      });
  });
}
