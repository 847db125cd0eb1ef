import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { BUNDLED_MODEL } from "../src/base-models/bundled-model.ts";
import { modelDirectory } from "../src/base-models/load-base-model-node.ts";
import { median } from "./random-model.ts";

/** Files of the tasks' training examples, in the folder of all data. */
const TASKS = {
  cola: "glue/CoLA/train.tsv",
  rte: "glue/RTE/train.tsv",
  sst2: "glue/SST-2/train.tsv",
  agnews: "agnews/train.csv",
} as const;
export type EpochTask = keyof typeof TASKS;
export const EPOCH_TASKS = Object.keys(TASKS) as EpochTask[];

/** A way to go through an epoch: a process that prints seconds, metric and peak memory in bytes. */
interface Contestant {
  name: string;
  /** Takes part in so many rounds, the first ones. */
  rounds: number;
  command: string;
  args: readonly string[];
}

interface Epoch {
  seconds: number;
  metric: number;
  peakMemory: number;
}

/**
 * One epoch of each task with the bundled encoder and AFLoRA (r = 4), batches of 32, from the data's files to the metric: ours with
 * each base that is meant for speed beside the usual recipe in PyTorch, all in turn. Padding to 256 tokens, as the published
 * recipe has it, takes so long that it goes once. What a process imports is not timed.
 * @param eager leaves out the variants that are compiled or padded to 256 tokens
 */
export async function compareEpochs(
  python: string,
  data: string,
  rounds: number,
  tasks: readonly EpochTask[],
  eager: boolean,
): Promise<void> {
  const threads = String(availableParallelism());
  for (const task of tasks) {
    const train = join(data, TASKS[task]);
    if (!existsSync(train)) {
      console.log(`\n${task}: there is no ${train}; name the folder with the data sets`);
      continue;
    }
    const folder = dirname(train);
    const own = ours(folder, task, threads, rounds);
    const contestants = [...own, ...theirs(python, folder, task, threads, rounds, eager)];
    const epochs = new Map<Contestant, (Epoch | undefined)[]>(contestants.map((each) => [each, []]));
    for (let round = 0; round < rounds; round++) {
      for (const contestant of contestants.filter((each) => round < each.rounds)) {
        epochs.get(contestant)!.push(await run(contestant));
      }
    }
    console.log(
      `\n${task}, ${BUNDLED_MODEL}, one epoch (${threads} threads, medians of ${rounds} rounds, ratios with their range)`,
    );
    print(epochs, own);
  }
}

function ours(folder: string, task: string, threads: string, rounds: number): Contestant[] {
  const script = fileURLToPath(new URL("peer-epoch.ts", import.meta.url));
  return ["float32", "int8"].map((base) => ({
    name: `aflora, ${base}`,
    rounds,
    command: process.execPath,
    args: [...process.execArgv, script, folder, task, threads, base],
  }));
}

function theirs(
  python: string,
  folder: string,
  task: string,
  threads: string,
  rounds: number,
  eager: boolean,
): Contestant[] {
  const script = fileURLToPath(new URL("../oracle/epoch_speed.py", import.meta.url));
  const make = (precision: string, mode: string, padding: string): Contestant => ({
    name: `PyTorch, ${precision}, ${mode}, padded to ${padding === "256" ? "256 tokens" : "the longest"}`,
    rounds: padding === "256" ? 1 : rounds,
    command: python,
    args: [script, modelDirectory(BUNDLED_MODEL), folder, task, threads, precision, mode, padding],
  });
  return [
    ...["float32", "bfloat16"].flatMap((precision) =>
      (eager ? ["eager"] : ["eager", "compiled"]).map((mode) => make(precision, mode, "longest")),
    ),
    ...(eager ? [] : [make("float32", "eager", "256")]),
  ];
}

/** Undefined of one that does not run; then it says why. */
async function run({ name, command, args }: Contestant): Promise<Epoch | undefined> {
  try {
    const { stdout } = await promisify(execFile)(command, [...args], { maxBuffer: 2 ** 26 });
    const [seconds, metric, peakMemory] = stdout.trim().split("\n").at(-1)!.split(" ").map(Number);
    return { seconds: seconds!, metric: metric!, peakMemory: peakMemory! };
  } catch (error) {
    const { stderr } = error as { stderr?: string };
    console.error(`${name} does not run: ${stderr?.trim().split("\n").at(-1)}`);
    return undefined;
  }
}

/** @param epochs by round, undefined where one did not run */
function print(epochs: ReadonlyMap<Contestant, readonly (Epoch | undefined)[]>, bases: readonly Contestant[]): void {
  const columns = bases.map(({ name }) => name.replace("aflora, ", "over "));
  console.log(`| | seconds | metric | peak memory | ${columns.join(" | ")} |\n|${" --- |".repeat(4 + bases.length)}`);
  for (const [{ name }, all] of epochs) {
    const done = all.filter((each) => each !== undefined);
    if (done.length === 0) continue;
    const ratios = bases.map((base) => {
      const each = all.flatMap((epoch, round) => {
        const beside = epochs.get(base)![round];
        return epoch && beside ? [epoch.seconds / beside.seconds] : [];
      });
      if (each.length === 0) return "–";
      return `${median(each).toFixed(2)} (${Math.min(...each).toFixed(2)}-${Math.max(...each).toFixed(2)})`;
    });
    const [seconds, metric] = [median(done.map((each) => each.seconds)), median(done.map((each) => each.metric))];
    const peak = Math.max(...done.map(({ peakMemory }) => peakMemory));
    const cells = [name, seconds.toFixed(1), metric.toFixed(4), `${(peak / 1e6).toFixed(0)} MB`, ...ratios];
    console.log(`| ${cells.join(" | ")} |`);
  }
}
