/**
 * What tuning gains over the defaults, on data that neither saw: `aflora tune` with 15 minutes and `aflora train` with what it has
 * by default, on 2,000 rows of SST-2 and on MRPC, three seeds each, both scored on the official development sets.
 *
 *     npm run bench:tune -- [GLUE [TASKS [MINUTES [OUTPUT [SEEDS]]]]]
 *
 * GLUE is the folder with the official files (../shared/data/glue), TASKS (sst2,mrpc) and SEEDS (1,2,3) are parted by commas. The
 * runs lie in OUTPUT (runs/bench-tune), and the same command again goes on where it stopped. Nothing else should run beside it: what
 * fits into the minutes depends on how quick this machine is.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { evaluateRun } from "../src/runs/evaluate-run.ts";
import { spreadOf } from "../src/studies/statistics.ts";
import { oneOf, refuse } from "./arguments.ts";

const TASKS = [
  { task: "sst2", folder: "SST-2", metric: "accuracy", more: ["--max-train-samples", "2000"] },
  { task: "mrpc", folder: "MRPC", metric: "f1", more: [] },
];

const [glue = "../shared/data/glue", names = "sst2,mrpc", minutes = "15", output = "runs/bench-tune", given = "1,2,3"] =
  process.argv.slice(2);
const seeds = given.split(",");
if (!seeds.every((seed) => /^\d+$/.test(seed))) refuse(`"${given}" are no seeds; give numbers parted by commas`);
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

/** Beside a search's folder, the seconds that it took. */
const took = (search: string): string => `${search}.seconds`;

/** The score on the official development set. */
async function scoreOf(run: string, metric: string): Promise<number> {
  const [split] = await evaluateRun(run, { ownSplits: true });
  return split!.metrics[metric]!;
}

for (const { task, metric, more } of tasks) {
  const scores = { tuned: [] as number[], defaults: [] as number[] };
  const seconds: number[] = [];
  for (const seed of seeds) {
    const data = ["--task", task, "--data", glue, "--seed", seed, ...more];
    const [tuned, defaults] = ["tuned", "defaults"].map((name) => join(output, `${task}-${name}-s${seed}`));
    if (!existsSync(join(tuned!, "tune.html"))) {
      const began = performance.now();
      aflora("tune", ...data, "--minutes", minutes, "--output", tuned!);
      writeFileSync(took(tuned!), String((performance.now() - began) / 1000));
    }
    seconds.push(Number(readFileSync(took(tuned!), "utf8")));
    if (!existsSync(join(defaults!, "result.json"))) {
      if (existsSync(join(defaults!, "config.json"))) aflora("train", "--resume", defaults!);
      else aflora("train", ...data, "--validation-split", "0.1", "--output", defaults!);
    }
    scores.tuned.push(await scoreOf(tuned!, metric));
    scores.defaults.push(await scoreOf(defaults!, metric));
  }
  const text = (values: number[]): string => {
    const { mean, deviation = 0 } = spreadOf(values);
    return `${mean.toFixed(4)} ± ${deviation.toFixed(4)} (${values.map((value) => value.toFixed(4)).join(", ")})`;
  };
  console.log(`${task} ${metric}: tuned ${text(scores.tuned)}, defaults ${text(scores.defaults)}`);
  const gain = spreadOf(scores.tuned.map((score, i) => score - scores.defaults[i]!));
  const error = (gain.deviation ?? 0) / Math.sqrt(seeds.length);
  console.log(`difference ${gain.mean.toFixed(4)}, its standard error over seeds ${error.toFixed(4)}`);
  console.log(`longest search: ${(Math.max(...seconds) / 60).toFixed(1)} of ${minutes} minutes`);
}
