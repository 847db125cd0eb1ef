import { type ChildProcessByStdio, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { median } from "./random-model.ts";

/** Rounds that count. */
export const ROUNDS = 9;
const WARM_UP = 2;
/** Threads of a step just done spin for some 40 ms, and would take cores from the next one. */
const PAUSE = 150;

/** A process that does its work once for each line that it is sent, and answers with the seconds, its peak memory in bytes, and a score if it has one. */
export class Contestant {
  readonly name: string;
  /** Of the rounds that count. */
  readonly seconds: number[] = [];
  peakMemory = 0;
  /** The last round's. */
  score: number | undefined;
  /** Whether it is there still; what ended said why on stderr. */
  runs = true;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #answers: AsyncIterator<string>;

  constructor(name: string, command: string, args: readonly string[]) {
    this.name = name;
    this.#child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
    // A process that has ended is noticed by the answer that does not come.
    this.#child.stdin.on("error", () => {});
    this.#answers = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  async step(counts: boolean): Promise<void> {
    this.#child.stdin.write("step\n");
    const { value, done } = await this.#answers.next();
    if (done) {
      this.runs = false;
      return;
    }
    const [seconds, bytes, score] = value.split(" ").map(Number) as [number, number, number | undefined];
    this.score = score;
    if (counts) this.seconds.push(seconds);
    this.peakMemory = residentPeak(this.#child.pid!) ?? bytes;
  }

  end(): void {
    this.#child.stdin.end();
  }
}

/** Highest resident memory of a process, bytes. What it says of itself begins with its parent's, from which Linux makes it. */
function residentPeak(pid: number): number | undefined {
  const status = `/proc/${pid}/status`;
  if (!existsSync(status)) return undefined;
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(status, "utf8"))![1]) * 1024;
}

/** Lets all of them work in turn, round after round, and ends them. */
export async function inTurn(all: readonly Contestant[], rounds = ROUNDS, warmUp = WARM_UP): Promise<void> {
  for (let round = 0; round < warmUp + rounds; round++) {
    for (const contestant of all.filter(({ runs }) => runs)) {
      await contestant.step(round >= warmUp);
      await sleep(PAUSE);
    }
  }
  for (const contestant of all) contestant.end();
}

/**
 * What each took, as a table in Markdown, with the ratio to each of `bases` and its range.
 * @param tokens of one round
 */
export function tableOf(all: readonly Contestant[], bases: readonly Contestant[], tokens: number): string {
  const columns = bases.map(({ name }) => `over ${name.replace("aflora, ", "")}`);
  const lines = all.map(({ name, seconds, peakMemory, runs }) => {
    if (!runs) return `| ${name} | does not run |`;
    const ratios = bases.map((base) => {
      if (!base.runs) return "–";
      const each = seconds.map((value, round) => value / base.seconds[round]!);
      return `${median(each).toFixed(2)} (${Math.min(...each).toFixed(2)}-${Math.max(...each).toFixed(2)})`;
    });
    const [ms, speed] = [median(seconds) * 1000, tokens / median(seconds)];
    const cells = [name, ms.toFixed(0), speed.toFixed(0), `${(peakMemory / 1e6).toFixed(0)} MB`, ...ratios];
    return `| ${cells.join(" | ")} |`;
  });
  const header = ["", "ms", "tokens/s", "peak memory", ...columns];
  return [`| ${header.join(" | ")} |`, `|${" --- |".repeat(header.length)}`, ...lines].join("\n");
}
