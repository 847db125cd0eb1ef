import { stat } from "node:fs/promises";
import { basename, extname, join } from "node:path";
import { Command } from "commander";
import { UserError } from "../../errors.ts";
import { flatOptions } from "../../preparation/run-options-node.ts";
import { readRunRecords } from "../../runs/read-run.ts";
import { evaluationsOf, secondsOf, timeRun, warm } from "../../studies/estimate.ts";
import { readStudy } from "../../studies/run-study.ts";
import { estimateStudy } from "../../studies/study-estimate.ts";
import { planStudy } from "../../studies/study-plan.ts";
import { estimateWorkers, ShardTimes, type WorkersEstimate } from "../../studies/workers-estimate.ts";
import { readConfigFile } from "../config-file.ts";
import { addExamples, everydayHelp } from "../help.ts";
import { addRunOptions, givenOptions, numberOption } from "../schema-options.ts";
import { bytes, counted, duration } from "../terminal/format.ts";
import { print, say } from "../terminal/print.ts";
import { studyOf } from "./study.ts";

const EXAMPLES = [
  "aflora estimate --train tickets.csv --text message --label team",
  "aflora estimate runs/tickets",
  "aflora estimate ranks.yaml",
  "aflora estimate --workers 4 --train tickets.csv --text message --label team",
];

/** Default network speed in Mb/s. */
const NETWORK = 100;
const MOST_WORKERS = 1000;

const EVERYDAY = [
  ...["json", "workers", "network", "model", "method", "task", "data", "train", "validation", "text", "label"],
  ...["epochs", "batchSize"],
];

/** `aflora estimate` */
export function estimateCommand(): Command {
  const command = new Command("estimate")
    .argument("[what]", "run folder or study file; otherwise give options as for aflora train")
    .option("--config <file>", "JSON or YAML file of options, named in camel case; flags override it")
    .option(
      "--output <dir>",
      "folder of the study, to compare with the time it took (default: runs/<name of the file>)",
    )
    .addOption(
      numberOption(
        "--workers <n>",
        "also estimate the run with this number of workers (aflora work), each like this machine",
      ),
    )
    .addOption(numberOption("--network <speed>", `with --workers: speed of the network in Mb/s (default: ${NETWORK})`))
    .option("--json", "print JSON");
  addRunOptions(command);
  everydayHelp(command, EVERYDAY);
  return addExamples(command, EXAMPLES).action(async (what: string | undefined) => {
    const { json, config, output, workers, network, ...flags } = givenOptions<Flags>(command);
    refuseWrong(workers, network);
    if (what !== undefined && !(await isFolder(what))) {
      if (workers !== undefined)
        throw new UserError("--workers is for a run; leave it out for a study, whose workers each take a whole trial");
      await estimateOfStudy(what, flags, output ?? join("runs", basename(what, extname(what))), json === true);
      return;
    }
    const records = what === undefined ? undefined : await readRunRecords(what);
    const stored = records ? flatOptions(records.config) : config === undefined ? {} : await readConfigFile(config);
    const shards = workers === undefined ? undefined : new ShardTimes();
    const given: Readonly<Record<string, unknown>> = { ...stored, output: undefined, ...flags };
    const timing = await timeRun(given, undefined, shards);
    const seconds = secondsOf(timing);
    const many =
      shards && estimateWorkers(warm(shards.steps), timing.step, { workers: workers!, network: network ?? NETWORK });
    const withWorkers = many && { ...many, seconds: secondsOf({ ...timing, step: many.step }) };
    const { result } = records ?? {};
    const took = result && {
      seconds: result.seconds,
      secondsPerStep: result.secondsPerStep,
      peakMemory: result.peakMemory,
    };
    if (json) {
      print(`${JSON.stringify({ ...timing, seconds, took, withWorkers }, null, 2)}\n`);
      return;
    }
    const { length, step, start, evaluated, memory } = timing;
    const lines = [
      `about ${duration(seconds)} on this machine: ${counted(Math.round(length.epochs * length.stepsPerEpoch) + length.refitSteps, "step")} of ${step.toPrecision(3)} s, ${counted(evaluationsOf(timing), "evaluation")} of ${duration(length.validation * evaluated)}, ${duration(start)} before the first step`,
      `memory: about ${bytes(memory.total)}`,
      ...(took
        ? [
            `the run took ${duration(took.seconds)} from its first step to its last evaluation, ${took.secondsPerStep.toPrecision(3)} s per step, and ${bytes(took.peakMemory)} of memory`,
          ]
        : []),
      ...(withWorkers ? workersLines(withWorkers, timing.step, given.localSteps !== undefined) : []),
    ];
    print(`${lines.join("\n")}\n`);
  });
}

/** @param alone seconds of a step on one machine */
function workersLines(of: WorkersEstimate & { seconds: number }, alone: number, isLocal: boolean): string[] {
  const { workers, network, step, speedup, efficiency, shards, values, returned } = of;
  const percent = Math.round(100 * efficiency);
  const size = (count: number): string => (count < 9.95e6 ? `${(count / 1e6).toPrecision(2)} MB` : bytes(count));
  return [
    `with ${counted(workers, "worker")} like this machine, in a network of ${network} Mb/s: about ${duration(of.seconds)}; a step takes ${step.toPrecision(3)} s instead of ${alone.toPrecision(3)} s, ${speedup.toFixed(1)} times as fast (efficiency ${percent} %)`,
    `a step has ${counted(shards, "shard")} for workers; on average it sends ${size(values)} to each worker, and gets ${size(returned)} back from all`,
    ...(workers > shards
      ? [
          `more than ${counted(shards, "worker")} would find no work; ${isLocal ? "--replicas sets how many there are" : "a larger --batch-size or a lower --token-budget makes more"}`,
        ]
      : []),
    ...(speedup < 1
      ? [
          `one machine is faster: the network takes longer than the workers save${isLocal ? "" : "; --local-steps sends less often"}`,
        ]
      : []),
  ];
}

function refuseWrong(workers: number | undefined, network: number | undefined): void {
  if (workers !== undefined && !(Number.isInteger(workers) && workers >= 1 && workers <= MOST_WORKERS))
    throw new UserError(`--workers must be a whole number from 1 to ${MOST_WORKERS}`);
  if (network !== undefined && !(network > 0)) throw new UserError("--network must be a number of Mb/s above 0");
  if (network !== undefined && workers === undefined)
    throw new UserError("--network requires --workers; add it, or leave --network out");
}

interface Flags {
  json?: boolean;
  config?: string;
  output?: string;
  workers?: number;
  network?: number;
  [option: string]: unknown;
}

async function estimateOfStudy(
  file: string,
  flags: Record<string, unknown>,
  output: string,
  json: boolean,
): Promise<void> {
  const plan = await planStudy(await studyOf(file, flags));
  const estimate = await estimateStudy(plan, (label) => say(`timing a few steps: ${label}\n`));
  const { trials } = await readStudy(plan, output);
  const finished = trials.filter(({ status }) => status === "finished");
  const took = trials.reduce((sum, { processSeconds = 0 }) => sum + processSeconds, 0);
  if (json) {
    print(`${JSON.stringify({ ...estimate, finished: finished.length, of: trials.length, took }, null, 2)}\n`);
    return;
  }
  const lines = [
    `about ${duration(estimate.seconds)} on this machine, one trial after another, and ${bytes(estimate.memory)} of memory: ${counted(trials.length, "trial")}, ${counted(estimate.timed, "kind")} of them timed`,
    ...(finished.length > 0
      ? [`${counted(finished.length, "trial")} of them have finished in ${output}, which took ${duration(took)}`]
      : []),
  ];
  print(`${lines.join("\n")}\n`);
}

async function isFolder(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (!found) throw new UserError(`there is no run folder or study file ${path}; check the path`);
  return found.isDirectory();
}
