/**
 * What blocks that leave training cost and save, as a table: of a study's folder, for each task and setting the score, the time of
 * all steps (compiling them again included, evaluation not) and the operations beside those of the same method in which all stay.
 *
 *     npx tsx scripts/frozen-blocks.ts STUDY_FOLDER
 */
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { readFinishedRun } from "../src/runs/read-run.ts";
import { grouped, mean, spreadOf } from "../src/studies/statistics.ts";

interface Trial {
  task: string;
  setting: string;
  seed: number;
  status: string;
  metric: string;
  scores: Record<string, number>;
  directory: string;
}

const folder = process.argv[2];
if (folder === undefined) {
  console.error("error: which study? Give the folder that aflora study wrote");
  process.exit(2);
}
const { trials } = JSON.parse(readFileSync(join(folder, "study.json"), "utf8")) as { trials: Trial[] };
const runs = await Promise.all(
  trials
    .filter(({ status }) => status === "finished")
    .map(async (trial) => {
      const { directory } = trial;
      const run = await readFinishedRun(join(folder, "trials", basename(directory)));
      const { result, steps, freezing, config } = run;
      const sum = (values: readonly number[]): number => values.reduce((total, each) => total + each, 0);
      return {
        ...trial,
        score: trial.scores[trial.metric]!,
        method: config.method.name,
        all: !result.blocks,
        frozenBlocks: result.blocks?.frozenAtStep.filter((step) => step !== null).length ?? 0,
        seconds: sum(steps.map(({ seconds }) => seconds)) + sum(freezing.map(({ compileSeconds }) => compileSeconds)),
        flops: result.flops,
      };
    }),
);

const shown = ({ mean, deviation = 0 }: { mean: number; deviation?: number }): string =>
  `${mean.toFixed(4)} ± ${deviation.toFixed(4)}`;
console.log(
  "| task | setting | seeds | score | difference to off, ± standard error | time | operations | blocks frozen |",
);
console.log("| --- | --- | --- | --- | --- | --- | --- | --- |");
for (const [, ofTask] of grouped(runs, ({ task, method }) => `${task}, ${method}`)) {
  const off = ofTask.filter(({ all }) => all);
  for (const [setting, of] of grouped(ofTask, ({ setting }) => setting)) {
    const paired = of.flatMap((run) => {
      const beside = off.find(({ seed }) => seed === run.seed);
      return beside
        ? [{ score: run.score - beside.score, seconds: run.seconds / beside.seconds, flops: run.flops / beside.flops }]
        : [];
    });
    const difference = spreadOf(paired.map(({ score }) => score));
    const error = (difference.deviation ?? 0) / Math.sqrt(paired.length);
    const cells = [
      of[0]!.task,
      setting,
      String(of.length),
      shown(spreadOf(of.map(({ score }) => score))),
      paired.length > 0 ? `${difference.mean.toFixed(4)} ± ${error.toFixed(4)}` : "–",
      paired.length > 0 ? mean(paired.map(({ seconds }) => seconds)).toFixed(2) : "–",
      paired.length > 0 ? mean(paired.map(({ flops }) => flops)).toFixed(2) : "–",
      mean(of.map(({ frozenBlocks }) => frozenBlocks)).toFixed(1),
    ];
    console.log(`| ${cells.join(" | ")} |`);
  }
}
