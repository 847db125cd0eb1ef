import { stat } from "node:fs/promises";
import { basename, extname, join } from "node:path";
import { Command } from "commander";
import { UserError } from "../../errors.ts";
import { readRunRecords } from "../../runs/read-run.ts";
import { flatOptions } from "../../runs/run-config.ts";
import { evaluationsOf, secondsOf, timeRun } from "../../studies/estimate.ts";
import { readStudy } from "../../studies/run-study.ts";
import { estimateStudy } from "../../studies/study-estimate.ts";
import { planStudy } from "../../studies/study-plan.ts";
import { readConfigFile } from "../config-file.ts";
import { addExamples, everydayHelp } from "../help.ts";
import { addRunOptions, givenOptions } from "../schema-options.ts";
import { bytes, counted, duration } from "../terminal/format.ts";
import { studyOf } from "./study.ts";

const EXAMPLES = [
  "aflora estimate --train tickets.csv --text message --label team",
  "aflora estimate runs/tickets",
  "aflora estimate ranks.yaml",
];

const EVERYDAY = [
  ...["json", "model", "method", "task", "data", "train", "validation", "text", "label", "epochs", "batchSize"],
];

/** `aflora estimate` */
export function estimateCommand(): Command {
  const command = new Command("estimate")
    .argument("[what]", "run folder or study file; otherwise give options as for aflora train")
    .option("--config <file>", "JSON or YAML file of options, named without dashes; flags override it")
    .option(
      "--output <dir>",
      "folder of the study, to compare with the time it took (default: runs/<name of the file>)",
    )
    .option("--json", "print JSON");
  addRunOptions(command);
  everydayHelp(command, EVERYDAY);
  return addExamples(command, EXAMPLES).action(async (what: string | undefined) => {
    const { json, config, output, ...flags } = givenOptions<Flags>(command);
    if (what !== undefined && !(await isFolder(what))) {
      await estimateOfStudy(what, flags, output ?? join("runs", basename(what, extname(what))), json === true);
      return;
    }
    const records = what === undefined ? undefined : await readRunRecords(what);
    const stored = records ? flatOptions(records.config) : config === undefined ? {} : await readConfigFile(config);
    const timing = await timeRun({ ...stored, output: undefined, ...flags });
    const seconds = secondsOf(timing);
    const { result } = records ?? {};
    const took = result && {
      seconds: result.seconds,
      secondsPerStep: result.secondsPerStep,
      peakMemory: result.peakMemory,
    };
    if (json) {
      process.stdout.write(`${JSON.stringify({ ...timing, seconds, took }, null, 2)}\n`);
      return;
    }
    const { length, step, start, evaluated, memory } = timing;
    const lines = [
      `about ${duration(seconds)} on this machine: ${counted(length.epochs * length.stepsPerEpoch, "step")} of ${step.toPrecision(3)} s, ${counted(evaluationsOf(timing), "evaluation")} of ${duration(length.validation * evaluated)}, ${duration(start)} to begin`,
      `memory: about ${bytes(memory.total)}`,
      ...(took
        ? [
            `the run took ${duration(took.seconds)} from its first step to its last evaluation, ${took.secondsPerStep.toPrecision(3)} s a step, and ${bytes(took.peakMemory)} of memory`,
          ]
        : []),
    ];
    process.stdout.write(`${lines.join("\n")}\n`);
  });
}

interface Flags {
  json?: boolean;
  config?: string;
  output?: string;
  [option: string]: unknown;
}

async function estimateOfStudy(
  file: string,
  flags: Record<string, unknown>,
  output: string,
  json: boolean,
): Promise<void> {
  const plan = await planStudy(await studyOf(file, flags));
  const estimate = await estimateStudy(plan, (label) => process.stderr.write(`timing a few steps: ${label}\n`));
  const { trials } = await readStudy(plan, output);
  const finished = trials.filter(({ status }) => status === "finished");
  const took = trials.reduce((sum, { processSeconds = 0 }) => sum + processSeconds, 0);
  if (json) {
    process.stdout.write(
      `${JSON.stringify({ ...estimate, finished: finished.length, of: trials.length, took }, null, 2)}\n`,
    );
    return;
  }
  const lines = [
    `about ${duration(estimate.seconds)} on this machine, one trial after another, and ${bytes(estimate.memory)} of memory: ${counted(trials.length, "trial")}, ${counted(estimate.timed, "kind")} of them timed`,
    ...(finished.length > 0
      ? [
          `${counted(finished.length, "trial")} of them have finished in ${output}; what was done there took ${duration(took)}`,
        ]
      : []),
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}

async function isFolder(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (!found) throw new UserError(`there is no run folder or study file ${path}; check the path`);
  return found.isDirectory();
}
