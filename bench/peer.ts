/**
 * Our training step beside PyTorch's on the same shapes, each in a process of its own, all timed in turn: dropout on, random
 * weights.
 *
 *     npm run bench:peer -- PYTHON [MODEL [ROWSxLENGTH [METHOD]]]
 *     npm run bench:peer -- --epoch PYTHON [GLUE [ROUNDS]]
 *
 * PYTHON is an interpreter with oracle/requirements.txt installed, METHOD aflora (r = 4) or lora (r = 8; in PyTorch through peft).
 * `--epoch` times whole epochs of CoLA and RTE instead, from data to metric; GLUE is the folder with the official files
 * (../shared/data/glue), ROUNDS how often each goes (3).
 */
import { type ChildProcessByStdio, spawn, spawnSync } from "node:child_process";
import { availableParallelism } from "node:os";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { BASE_FORMATS } from "../src/models/base-format.ts";
import { oneOf, refuse, shapeOf } from "./arguments.ts";
import { compareEpochs } from "./peer-epochs.ts";
import { CONFIG_NAMES, CONFIGS, type ConfigName, median } from "./random-model.ts";

const ROUNDS = 9;
const WARM_UP = 2;
/** Threads of a step just done spin for some 40 ms, and would take cores from the next one. */
const PAUSE = 150;

/** A process that makes a step when it is told to. */
class Contestant {
  readonly name: string;
  readonly seconds: number[] = [];
  peakMemory = 0;
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

  async step(): Promise<void> {
    this.#child.stdin.write("step\n");
    const { value, done } = await this.#answers.next();
    if (done) {
      this.runs = false;
      return;
    }
    const [seconds, bytes] = value.split(" ").map(Number) as [number, number];
    this.seconds.push(seconds);
    this.peakMemory = bytes;
  }

  end(): void {
    this.#child.stdin.end();
  }
}

async function compareSteps(
  python: string,
  name: ConfigName,
  rows: number,
  length: number,
  method: string,
): Promise<void> {
  const sizes = [rows, length, availableParallelism()].map(String);
  const own = fileURLToPath(new URL("peer-step.ts", import.meta.url));
  const script = fileURLToPath(new URL("../oracle/step_speed.py", import.meta.url));
  const ours = BASE_FORMATS.map(
    (format) =>
      new Contestant(`aflora, ${format}`, process.execPath, [
        ...[...process.execArgv, own],
        ...[name, method, format, ...sizes],
      ]),
  );
  const theirs = ["float32", "bfloat16"].flatMap((precision) =>
    ["eager", "compiled"].map(
      (mode) =>
        new Contestant(`PyTorch, ${precision}, ${mode}`, python, [
          ...[script, JSON.stringify(CONFIGS[name]), ...sizes],
          ...[method, precision, mode],
        ]),
    ),
  );
  const all = [...ours, ...theirs];
  for (let round = 0; round < WARM_UP + ROUNDS; round++) {
    for (const contestant of all.filter(({ runs }) => runs)) {
      await contestant.step();
      await sleep(PAUSE);
    }
  }
  for (const contestant of all) contestant.end();

  console.log(
    `\n${name}, ${method}, ${rows} x ${length} tokens (${sizes[2]} threads, medians of ${ROUNDS} rounds, ratios with their range)`,
  );
  const columns = ours.map(({ name: of }) => of.replace("aflora, ", "over "));
  console.log(`| | ms | tokens/s | peak memory | ${columns.join(" | ")} |\n|${" --- |".repeat(4 + ours.length)}`);
  for (const { name: of, seconds, peakMemory, runs } of all) {
    if (!runs) console.log(`| ${of} | does not run |`);
    if (!runs) continue;
    const timed = seconds.slice(WARM_UP);
    const cells = ours.map(({ seconds: base }) => {
      const ratios = timed.map((value, round) => value / base[WARM_UP + round]!);
      return `${median(ratios).toFixed(2)} (${Math.min(...ratios).toFixed(2)}-${Math.max(...ratios).toFixed(2)})`;
    });
    const [ms, speed] = [median(timed) * 1000, (rows * length) / median(timed)];
    console.log(
      `| ${of} | ${ms.toFixed(0)} | ${speed.toFixed(0)} | ${(peakMemory / 1e6).toFixed(0)} MB | ${cells.join(" | ")} |`,
    );
  }
}

const METHODS = ["aflora", "lora"] as const;

const { values, positionals } = parseArgs({ options: { epoch: { type: "boolean" } }, allowPositionals: true });
const [python = "python3", ...rest] = positionals;
const { error } = spawnSync(python, ["--version"]);
if (error) refuse(`cannot start ${python}: ${error.message}; give a Python interpreter`);
if (values.epoch) {
  const [glue = "../shared/data/glue", rounds = "3"] = rest;
  if (!/^[1-9]\d*$/.test(rounds)) refuse(`"${rounds}" is no number of rounds`);
  await compareEpochs(python, glue, Number(rounds));
} else {
  const [model, size, method = "aflora"] = rest;
  const models = model === undefined ? CONFIG_NAMES : [oneOf("model", model, CONFIG_NAMES)];
  const shapes = (size === undefined ? ["8x64", "4x256"] : [size]).map(shapeOf);
  const chosen = oneOf("method", method, METHODS);
  for (const name of models) {
    for (const [rows, length] of shapes) await compareSteps(python, name, rows, length, chosen);
  }
}
