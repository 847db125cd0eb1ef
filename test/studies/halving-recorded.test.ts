import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { flatOptions, resolveConfig } from "../../src/preparation/run-options-node.ts";
import { runStudy, type TrialRunner } from "../../src/studies/run-study.ts";
import { trialsOfStudy } from "../../src/studies/scored-trial.ts";
import { parseStudy } from "../../src/studies/study-file.ts";
import { planStudy } from "../../src/studies/study-plan.ts";
import { studyResults } from "../../src/studies/study-results.ts";
import { makeUp } from "../support/made-up-run.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";

/** Runs of the bundled encoder on film reviews, epoch by epoch; `study` is how they were made. */
interface Recorded {
  study: { epochs: number; vary: Record<string, number[]>; seeds: number[] };
  runs: { learningRate: number; seed: number; evaluations: { accuracy: number; loss: number }[] }[];
}

const FIXTURE = fileURLToPath(new URL("../fixtures/experiments/recorded-rates.json", import.meta.url));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "aflora-halving-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test("halving finds the grid's best of recorded runs with at most half of its epochs", async () => {
  const { study, runs }: Recorded = JSON.parse(await readFile(FIXTURE, "utf8"));
  // What trains does not matter: the runs are played back.
  const options = {
    model: await writeTinyModel(join(folder, "model")),
    train: await writeCsv(join(folder, "tickets.csv"), tickets()),
    text: "message",
    label: "team",
    epochs: study.epochs,
  };
  const played: TrialRunner = async ({ trial, config, directory, stopAfter = study.epochs }) => {
    const { learningRate } = config;
    const { evaluations } = runs.find((run) => run.learningRate === learningRate && run.seed === trial.seed)!;
    await mkdir(directory, { recursive: true });
    await writeFile(
      join(directory, "config.json"),
      JSON.stringify({ ...flatOptions(resolveConfig(config)), ...trial.identity.options }),
    );
    await writeFile(join(directory, "data.json"), JSON.stringify(makeUp().dataFingerprint));
    const lines = evaluations.slice(0, stopAfter).map(({ accuracy, loss }, i) => {
      return `${JSON.stringify({ kind: "evaluation", step: i + 1, epoch: i + 1, metrics: { accuracy }, loss })}\n`;
    });
    await writeFile(join(directory, "metrics.jsonl"), lines.join(""));
    if (stopAfter < study.epochs) return "paused";
    const metrics = { accuracy: Math.max(...evaluations.map(({ accuracy }) => accuracy)) };
    await writeFile(join(directory, "result.json"), JSON.stringify({ ...makeUp().result, metrics }));
    return "finished";
  };
  const outcomeOf = async (search: string) => {
    const plan = await planStudy(parseStudy({ options, vary: study.vary, seeds: study.seeds, search }, search));
    const outcome = await runStudy(plan, join(folder, search), played);
    const { tasks } = studyResults({ ...plan.study, notes: [] }, trialsOfStudy(plan, outcome));
    return { best: tasks[0]!.best, epochs: outcome.trials.reduce((sum, { epochs }) => sum + epochs, 0) };
  };
  const [grid, halving] = [await outcomeOf("grid"), await outcomeOf("halving")];
  expect(grid.epochs).toBe(study.epochs * runs.length);
  expect(halving.best).toBe(grid.best);
  expect(halving.epochs).toBeLessThanOrEqual(grid.epochs / 2);
});
