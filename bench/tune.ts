/**
 * What tuning gains over the defaults, on data that neither saw: `aflora tune` with 15 minutes and `aflora train` with what it has
 * by default, on 2,000 rows of SST-2 and on MRPC, three seeds each, both scored on the official development sets.
 *
 *     npm run bench:tune -- [GLUE [TASKS [MINUTES [OUTPUT]]]]
 *
 * GLUE is the folder with the official files (../shared/data/glue), TASKS are parted by commas (sst2,mrpc). The runs lie in OUTPUT
 * (runs/bench-tune), and the same command again goes on where it stopped. Each takes one thread: a process for each task may run
 * beside the other, and nothing else should.
 */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { spreadOf } from "../src/experiments/statistics.ts";
import { evaluateRun } from "../src/runs/evaluate-run.ts";
import { oneOf, refuse } from "./arguments.ts";

const SEEDS = [1, 2, 3];
const TASKS = [
  { task: "sst2", folder: "SST-2", metric: "accuracy", more: ["--max-train-samples", "2000"] },
  { task: "mrpc", folder: "MRPC", metric: "f1", more: [] },
];

const [glue = "../shared/data/glue", names = "sst2,mrpc", minutes = "15", output = "runs/bench-tune"] =
  process.argv.slice(2);
const tasks = names.split(",").map((name) => {
  const known = TASKS.map(({ task }) => task);
  return TASKS.find(({ task }) => task === oneOf("task", name, known))!;
});
if (!(Number(minutes) > 0)) refuse(`"${minutes}" is no number of minutes`);
for (const { folder } of tasks) {
  if (!existsSync(join(glue, folder))) refuse(`there is no folder ${join(glue, folder)}; give GLUE's official files`);
}

const aflora = (...args: string[]): void => {
  execFileSync(process.execPath, ["--import", "tsx", "src/cli/main.ts", ...args], { stdio: "inherit" });
};

/** The score on the official development set. */
async function scoreOf(run: string, metric: string): Promise<number> {
  const [split] = await evaluateRun(run, { ownSplits: true });
  return split!.metrics[metric]!;
}

for (const { task, metric, more } of tasks) {
  const scores = { tuned: [] as number[], defaults: [] as number[] };
  const seconds: number[] = [];
  for (const seed of SEEDS) {
    const data = ["--task", task, "--data", glue, "--seed", String(seed), "--threads", "1", ...more];
    const [tuned, defaults] = ["tuned", "defaults"].map((name) => join(output, `${task}-${name}-s${seed}`));
    if (!existsSync(join(tuned!, "tune.html"))) {
      const began = performance.now();
      aflora("tune", ...data, "--minutes", minutes, "--output", tuned!);
      seconds.push((performance.now() - began) / 1000);
    }
    if (!existsSync(join(defaults!, "result.json"))) {
      aflora("train", ...data, "--validation-split", "0.1", "--overwrite", "--output", defaults!);
    }
    scores.tuned.push(await scoreOf(tuned!, metric));
    scores.defaults.push(await scoreOf(defaults!, metric));
  }
  const text = (values: number[]): string => {
    const { mean, deviation = 0 } = spreadOf(values);
    return `${mean.toFixed(4)} ± ${deviation.toFixed(4)} (${values.map((value) => value.toFixed(4)).join(", ")})`;
  };
  console.log(`${task} ${metric}: tuned ${text(scores.tuned)}, defaults ${text(scores.defaults)}`);
  if (seconds.length > 0)
    console.log(`longest search: ${(Math.max(...seconds) / 60).toFixed(1)} of ${minutes} minutes`);
}
