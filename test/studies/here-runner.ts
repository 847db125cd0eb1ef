import { existsSync } from "node:fs";
import { join } from "node:path";
import { writeJsonFile } from "../../src/files/json-file-node.ts";
import { evaluateRun } from "../../src/runs/evaluate-run.ts";
import { REPORTED, reportedScoresOf } from "../../src/studies/reported-scores.ts";
import type { TrialRunner } from "../../src/studies/run-study.ts";
import { fineTune } from "../support/fine-tune.ts";

/** Trials in this process, which is quicker than a process each. */
export const hereRunner: TrialRunner = async ({ config, resume, stopAfter, reported, directory }) => {
  if (!resume || !existsSync(join(directory, "result.json"))) {
    const { output, threads } = config;
    const given = resume ? { output, threads } : config;
    const { result } = await fineTune(given, {
      resume,
      overwrite: !resume,
      ...(stopAfter !== undefined && { stopAfter }),
    });
    if (!result) return "paused";
  }
  if (reported) {
    const splits = await evaluateRun(directory, { ...reported, threads: 1 });
    await writeJsonFile(join(directory, REPORTED), reportedScoresOf(splits, reported));
  }
  return "finished";
};
