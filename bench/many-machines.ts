/**
 * One run computed by two workers of one thread each, beside one process of two threads, in turn: the time of a step, and what goes
 * over the network, step by step and with local steps. All on this machine, with a valkey-server of its own. Then what eight workers would
 * make of it in a network of 100 Mb/s, computed from the times of shards and the sizes of messages (`aflora estimate --workers`).
 *
 *     npm run bench:machines -- [ROUNDS]
 *
 * ROUNDS is how often each goes (3). A language model takes part where AFLORA_SMOLLM2_GGUF names SmolLM2-135M's file.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Redis } from "ioredis";
import { median } from "../src/studies/statistics.ts";
import type { WorkersEstimate } from "../src/studies/workers-estimate.ts";

const PORT = 26379;
const URL_OF_SERVER = `redis://127.0.0.1:${PORT}`;
/** A round of local steps. */
const STEPS = 16;
/** Until everything is compiled, and workers are known. */
const WARM_UP = 4;

const rounds = Number(process.argv[2] ?? 3);

const folder = await mkdtemp(join(tmpdir(), "aflora-bench-machines-"));
const MAIN = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));

const start = (args: readonly string[]): ChildProcess =>
  spawn(process.execPath, [...process.execArgv, MAIN, ...args], {
    cwd: folder,
    stdio: ["ignore", "ignore", "inherit"],
  });

const ended = (child: ChildProcess): Promise<unknown> => new Promise((resolve) => child.once("exit", resolve));

/** Trains, and gives the seconds of each step. */
async function train(args: readonly string[], name: string): Promise<number[]> {
  const output = join(folder, name);
  const code = await ended(start(["train", ...args, "--output", output, "--overwrite", "--evaluate-every", "1000"]));
  if (code !== 0) throw new Error(`aflora train ${args.join(" ")} ended with ${code}`);
  const lines = (await readFile(join(output, "metrics.jsonl"), "utf8")).trim().split("\n");
  const records = lines.map((line) => JSON.parse(line) as { kind: string; seconds: number });
  return records.flatMap(({ kind, seconds }) => (kind === "step" ? [seconds] : [])).slice(WARM_UP);
}

/** Bytes that went in and out of the server. */
async function traffic(client: Redis): Promise<number> {
  const info = await client.info("stats");
  const of = (name: string): number => Number(new RegExp(`total_net_${name}_bytes:(\\d+)`).exec(info)![1]);
  return of("input") + of("output");
}

async function measure(name: string, args: readonly string[], client: Redis): Promise<void> {
  const alone: number[] = [];
  const many: number[] = [];
  const bytes = { together: 0, apart: 0 };
  for (let round = 0; round < rounds; round++) {
    alone.push(...(await train([...args, "--threads", "2"], "alone")));
    const workers = [1, 2].map((i) =>
      start(["work", "--queue", URL_OF_SERVER, "--threads", "1", "--dir", join(folder, `work-${i}`)]),
    );
    const shared = [...args, "--threads", "1", "--queue", URL_OF_SERVER];
    const before = await traffic(client);
    many.push(...(await train(shared, "many")));
    const between = await traffic(client);
    await train([...shared, "--local-steps", String(STEPS), "--replicas", "2"], "local");
    bytes.together = (between - before) / STEPS;
    bytes.apart = ((await traffic(client)) - between) / STEPS;
    for (const each of workers) each.kill("SIGTERM");
    await Promise.all(workers.map(ended));
  }
  const adapters = await Promise.all(
    ["alone", "many"].map((run) => readFile(join(folder, run, "adapter", "adapter.safetensors"))),
  );
  const [one, two] = [median(alone), median(many)];
  console.log(
    `${name}: one process ${one.toFixed(2)} s a step, two workers ${two.toFixed(2)} s, ratio ${(two / one).toFixed(2)}; ${(bytes.together / 1e6).toFixed(2)} MB a step in and out, with ${STEPS} local steps ${(bytes.apart / 1e6).toFixed(2)} MB; adapters ${adapters[0]!.equals(adapters[1]!) ? "equal" : "not equal (two threads round otherwise than one)"}`,
  );
}

/** What many workers would make of it. */
function simulate(name: string, args: readonly string[]): void {
  const many = ["--workers", "8", "--network", "100", "--json"];
  const local = ["--local-steps", String(STEPS), "--replicas", "8"];
  for (const way of [
    ["--batch-size", "8"],
    ["--batch-size", "8", ...local],
    ["--batch-size", "32", ...local],
  ]) {
    const given = [MAIN, "estimate", ...args, "--threads", "2", ...many, ...way];
    const output = execFileSync(process.execPath, [...process.execArgv, ...given], { cwd: folder, encoding: "utf8" });
    const { step, withWorkers } = JSON.parse(output) as { step: number; withWorkers: WorkersEstimate };
    console.log(
      `${name}, 8 workers at 100 Mb/s by simulation, ${way.join(" ")}: ${withWorkers.step.toFixed(2)} s a step, one machine ${step.toFixed(2)} s, efficiency ${withWorkers.efficiency.toFixed(2)}`,
    );
  }
}

const words = "the order has not come and my card was charged twice please help me soon thanks a lot".split(" ");
const textOf = (i: number, length: number): string =>
  Array.from({ length }, (_, at) => words[(i * 7 + at * 3 + ((i * at) % 5)) % words.length]).join(" ");

const server = spawn("valkey-server", ["--port", String(PORT), "--bind", "127.0.0.1", "--save", ""], {
  stdio: "ignore",
});
const client = new Redis(URL_OF_SERVER).on("error", () => {});
try {
  const tickets = Array.from({ length: 64 * STEPS }, (_, i) => `${textOf(i, 8 + (i % 33))},${i % 2 ? "yes" : "no"}\n`);
  await writeFile(join(folder, "tickets.csv"), `text,label\n${tickets.join("")}`);
  await writeFile(join(folder, "held.csv"), `text,label\n${tickets.slice(0, 32).join("")}`);
  const common = ["--epochs", "1", "--method", "lora", "--token-budget", "256"];
  const labels = ["--train", "tickets.csv", "--validation", "held.csv", "--head-start", "new", "--batch-size", "64"];
  await measure("MiniLM, LoRA, 64 examples a step", [...labels, ...common], client);
  const model = process.env.AFLORA_SMOLLM2_GGUF;
  if (model) {
    const rows = Array.from({ length: 32 * STEPS }, (_, i) => `${JSON.stringify({ text: textOf(i, 300) })}\n`);
    await writeFile(join(folder, "texts.jsonl"), rows.join(""));
    await writeFile(join(folder, "held.jsonl"), rows.slice(0, 4).join(""));
    const writes = [
      "--kind",
      "language-model",
      "--model",
      model,
      "--train",
      "texts.jsonl",
      "--validation",
      "held.jsonl",
      "--max-length",
      "256",
    ];
    const run = [...writes, ...common];
    const rowsOfMeasure = ["--batch-size", "8", "--max-train-samples", String(8 * STEPS)];
    await measure("SmolLM2-135M, LoRA, 8 x 256 tokens", [...run, ...rowsOfMeasure], client);
    simulate("SmolLM2-135M, LoRA, texts of 256 tokens", run);
  }
} finally {
  client.disconnect();
  server.kill();
  await rm(folder, { recursive: true, force: true });
}
