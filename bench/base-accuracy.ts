/**
 * What a base in fewer bits costs in accuracy: the bundled encoder with AFLoRA on CoLA, MRPC and 10,000 sentences of SST-2,
 * three seeds each, with each base; every adapter is scored on the float32 base, too.
 *
 *     npm run bench:accuracy -- [GLUE [BASES [OUTPUT]]]
 *
 * GLUE is the folder with the official files (../shared/data/glue), BASES are parted by commas (float32,int8,int4). The runs
 * lie in OUTPUT (runs/base-accuracy), and the same command again goes on where it stopped. Each takes one thread: a process for
 * each base may run beside the others. The table so far is printed after each run.
 */
import { existsSync } from "node:fs";
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { BASE_FORMATS } from "../src/architectures/base-format.ts";
import { fineTune } from "../src/fine-tune.ts";
import { readRunRecords } from "../src/runs/read-run.ts";
import { type Spread, spreadOf } from "../src/studies/statistics.ts";
import { oneOf, refuse } from "./arguments.ts";

const SEEDS = [1, 2, 3];
const SENTENCES = 10_000;
const TASKS = [
  // At the others' rate CoLA's runs answer all alike.
  { task: "cola", folder: "CoLA", metric: "matthews_correlation", epochs: 3, rate: 0.01 },
  { task: "mrpc", folder: "MRPC", metric: "accuracy", epochs: 3, rate: 0.015 },
  { task: "sst2", folder: "SST-2", metric: "accuracy", epochs: 2, rate: 0.015 },
] as const;
/** The demo's, with dropout, for runs of minutes; one thread, so that a process for each base may run beside another. */
const SETTINGS = {
  batchSize: 32,
  weightDecay: 0,
  maxGradNorm: 1,
  threads: 1,
};

const [glue = "../shared/data/glue", bases = "float32,int8,int4", output = "runs/base-accuracy"] =
  process.argv.slice(2);
const formats = bases.split(",").map((base) => oneOf("base", base, BASE_FORMATS));
for (const { folder } of TASKS) {
  const file = join(glue, folder, "train.tsv");
  if (!existsSync(file)) refuse(`there is no ${file}; give the folder with GLUE's official files`);
}

/** SST-2's folder with as many of its training sentences, evenly spaced. */
async function shortened(folder: string): Promise<string> {
  const directory = join(output, "data", folder);
  await mkdir(directory, { recursive: true });
  const [header, ...rows] = (await readFile(join(glue, folder, "train.tsv"), "utf8")).trimEnd().split("\n");
  const kept = Array.from({ length: SENTENCES }, (_, i) => rows[Math.floor((i * rows.length) / SENTENCES)]!);
  await writeFile(join(directory, "train.tsv"), [header, ...kept, ""].join("\n"));
  await copyFile(join(glue, folder, "dev.tsv"), join(directory, "dev.tsv"));
  return directory;
}

const directoryOf = (task: string, base: string, seed: number): string => join(output, `${task}-${base}-s${seed}`);

/** Scores in hundredths of the runs that have ended, on the base that they trained beside and on float32's. */
async function scores(task: string, metric: string, base: string): Promise<{ own: number[]; float32: number[] }> {
  const found = { own: [] as number[], float32: [] as number[] };
  for (const directory of SEEDS.map((seed) => directoryOf(task, base, seed))) {
    if (!existsSync(join(directory, "result.json"))) continue;
    const { result } = await readRunRecords(directory);
    found.own.push(100 * result!.metrics[metric]!);
    found.float32.push(100 * (result!.float32Metrics ?? result!.metrics)[metric]!);
  }
  return found;
}

const shown = ({ mean, deviation }: Spread): string => `${mean.toFixed(2)} ± ${(deviation ?? 0).toFixed(2)}`;

async function printTable(): Promise<void> {
  console.log("\n| task | metric | base | seeds | on its base | on float32's | over float32, by seed |");
  console.log(`|${" --- |".repeat(7)}`);
  for (const { task, metric } of TASKS) {
    const plain = await scores(task, metric, "float32");
    for (const base of formats) {
      const { own, float32 } = await scores(task, metric, base);
      if (own.length === 0) continue;
      const over = float32.slice(0, plain.float32.length).map((score, i) => score - plain.float32[i]!);
      const cells = [task, metric, base, own.length, shown(spreadOf(own)), shown(spreadOf(float32))];
      console.log(`| ${cells.join(" | ")} | ${over.map((each) => each.toFixed(2)).join(", ")} |`);
    }
  }
}

for (const seed of SEEDS) {
  for (const { task, folder, epochs, rate } of TASKS) {
    const data = task === "sst2" ? await shortened(folder) : join(glue, folder);
    for (const base of formats) {
      const directory = directoryOf(task, base, seed);
      if (existsSync(join(directory, "result.json"))) continue;
      const resume = existsSync(join(directory, "config.json"));
      const rates = { learningRate: rate, headLearningRate: rate };
      await fineTune({ ...SETTINGS, ...rates, task, data, epochs, base, seed, output: directory }, { resume });
      await printTable();
    }
  }
}
await printTable();
