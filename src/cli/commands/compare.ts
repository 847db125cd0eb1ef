import { join } from "node:path";
import { Command } from "commander";
import { UserError } from "../../errors.ts";
import { comparison } from "../../studies/compare.ts";
import { addExamples, everydayHelp } from "../help.ts";
import { addRunOptions, givenOptions, numberOption } from "../schema-options.ts";
import { addStudyFlags, numbers, STUDY_FLAGS, type StudyFlags, words } from "../study-flags.ts";

const EXAMPLES = [
  "aflora compare --methods aflora,lora,vera --tasks rte,cola --data glue --seeds 1,2,3",
  "aflora compare --methods aflora,lora --ranks 2,4,8 --tasks rte --data glue --epochs 5",
  "aflora compare --methods aflora,lora --train tickets.csv --text message --label team --validation held.csv --search",
];

const NOTE = "Run the same command again to continue an interrupted comparison: finished trials are kept.";

/** Options of most comparisons. */
const EVERYDAY = [
  ...["methods", "tasks", "ranks", "preset", "search", "model", "data"],
  ...["train", "validation", "text", "label", "epochs", "batchSize"],
];

/** Options of a run that a comparison sets itself. For one rank for every method, use --ranks with one number. */
const OWN = ["method", "task", "seed", "output", "validationSplit", "rank"];

/** Number of learning rates that `--search` tries. */
const TRIALS = 4;

/** `aflora compare` */
export function compareCommand(): Command {
  const command = new Command("compare")
    .requiredOption("--methods <names>", "methods, separated by commas", words)
    .option("--tasks <names>", "GLUE tasks, separated by commas, read from --data", words)
    .option("--ranks <numbers>", "ranks to try for every method that has a rank (default: each method's own)", numbers)
    .option("--search", "try the same number of learning rates for every method, on held-out training examples")
    .addOption(numberOption("--trials <n>", `number of learning rates to try with --search (default: ${TRIALS})`));
  addStudyFlags(command, { output: "runs/compare", holdOut: "0, choose on the validation examples" });
  addRunOptions(command, OWN);
  everydayHelp(command, [...EVERYDAY, ...STUDY_FLAGS]);
  return addExamples(command, EXAMPLES, NOTE).action(async () => {
    const {
      output = join("runs", "compare"),
      dryRun,
      queue,
      status,
      markdown,
      json,
      ...flags
    } = givenOptions<Flags>(command);
    const { methods, tasks, ranks, search, trials = TRIALS, seeds, metric, holdOut, generate, ...options } = flags;
    if (flags.trials !== undefined && !search)
      throw new UserError("--trials is the number of trials of --search; give both");
    const study = comparison({
      methods,
      tasks,
      ranks,
      seeds,
      metric,
      holdOut,
      generate,
      options,
      trials: search ? trials : undefined,
    });
    const { doStudy } = await import("../study-command.ts");
    await doStudy(study, output, { dryRun, queue, status, markdown, json });
  });
}

interface Flags extends StudyFlags {
  methods: string[];
  tasks?: string[];
  ranks?: number[];
  search?: boolean;
  trials?: number;
  [option: string]: unknown;
}
