/**
 * Prints the step at which each matrix of runs froze, as CSV:
 *
 *     npx tsx scripts/freezing-steps.ts RUN_FOLDER... > studies/results/freezing-steps.csv
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";

interface Check {
  step: number;
  frozen: string[];
}

console.log("task,seed,block,matrix,step");
for (const folder of process.argv.slice(2)) {
  const { task, seed } = JSON.parse(readFileSync(join(folder, "config.json"), "utf8")) as {
    task: string;
    seed: number;
  };
  const lines = readFileSync(join(folder, "freezing.jsonl"), "utf8").trim().split("\n");
  for (const { step, frozen } of lines.map((line) => JSON.parse(line) as Check)) {
    for (const name of frozen) {
      const [, block, layer, matrix] = /layer\.(\d+)\.(\w+)\.dense\.([AB])$/.exec(name)!;
      console.log([task, seed, block, `${layer}.${matrix}`, step].join());
    }
  }
}
