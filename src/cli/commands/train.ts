import { resolve } from "node:path";
import { Command } from "commander";
import { UserError } from "../../errors.ts";
import type { FrozenBlocksResult, RunResult } from "../../runs/run-result.ts";
import { readConfigFile } from "../config-file.ts";
import { addExamples, everydayHelp, STARTED_AS } from "../help.ts";
import { queueUrl } from "../queue-url.ts";
import { addRunOptions, givenOptions, numberOption } from "../schema-options.ts";
import { bytes, counted, duration, epochs, integer, metrics } from "../terminal/format.ts";
import { print, say } from "../terminal/print.ts";

const EXAMPLES = [
  "aflora train --train tickets.csv --text message --label team",
  "aflora train --task rte --data glue --epochs 10 --output runs/rte",
  "aflora train --train more.csv --text message --label team --adapter runs/tickets",
  "aflora train --model HuggingFaceTB/SmolLM2-135M-Instruct --train chat.jsonl --method lora",
  'aflora train --model google-t5/t5-small --train articles.jsonl --prefix "summarize: "',
  "aflora train --resume runs/rte",
];

/** Options of most runs, and options about ending or resuming one. */
const EVERYDAY = [
  ...[
    "config",
    "overwrite",
    "resume",
    "watch",
    "queue",
    "model",
    "method",
    "task",
    "data",
    "train",
    "validation",
    "text",
  ],
  ...["textPair", "label", "kind", "epochs", "batchSize", "learningRate", "rank", "seed", "device", "output", "lossOn"],
];

/** `aflora train` */
export function trainCommand(): Command {
  const command = new Command("train")
    .option("--config <file>", "JSON or YAML file of options, named in camel case; flags override it")
    .option("--config-schema", "print the JSON Schema of such a file, for editors, and exit")
    .option("--overwrite", "replace an earlier run in the output folder")
    .option("--resume [dir]", "resume the run in this folder, or in --output, with the options saved there")
    .option("--watch", "serve a live report of the run on 127.0.0.1, and print its address")
    .option("--queue [url]", "let aflora work compute the steps, through this Valkey or Redis server")
    .option(
      "--mixed-processors",
      "with --queue: also accept workers that round differently; results are then not bit-identical",
    )
    .addOption(numberOption("--watch-port <n>", "port of that page (default: a free one)"));
  addRunOptions(command);
  everydayHelp(command, EVERYDAY);
  return addExamples(command, EXAMPLES).action(async () => {
    // Help and invalid options need no modules for training.
    const { INTERRUPTED, runTraining } = await import("../run-training.ts");
    const {
      config,
      configSchema: asksSchema,
      overwrite = false,
      resume = false,
      watch,
      watchPort,
      queue,
      mixedProcessors,
      ...flags
    } = givenOptions(command);
    if (asksSchema) {
      const { configSchema } = await import("../config-schema.ts");
      print(`${JSON.stringify(configSchema(), null, 2)}\n`);
      return;
    }
    if (mixedProcessors && queue === undefined)
      throw new UserError("--mixed-processors requires --queue; add it, or leave --mixed-processors out");
    if (typeof resume === "string" && flags.output !== undefined && resolve(resume) !== resolve(String(flags.output)))
      throw new UserError(`--resume continues the run in its own folder, ${resume}; leave --output out`);
    const file = config === undefined ? {} : await readConfigFile(config as string);
    const outcome = await runTraining(
      { ...file, ...flags, ...(typeof resume === "string" && { output: resume }) },
      {
        overwrite: overwrite === true,
        resume: resume !== false,
        ...(queue !== undefined && {
          queue: { url: queueUrl(queue as string | true), mixedProcessors: mixedProcessors === true },
        }),
        ...((watch || watchPort !== undefined) && {
          watch: watchPort === undefined ? {} : { port: watchPort as number },
        }),
      },
    );
    if (!outcome.result) {
      say(`interrupted; continue with: ${STARTED_AS} train --resume ${outcome.directory}\n`);
      process.exitCode = INTERRUPTED;
      return;
    }
    const [{ readRunRecords }, { whyKept }] = await Promise.all([
      import("../../runs/read-run.ts"),
      import("../../reports/kept-epoch.ts"),
    ]);
    const why = whyKept(await readRunRecords(outcome.directory));
    print(`${summary(outcome.directory, outcome.result)}\n${why === undefined ? "" : `note: ${why}\n`}`);
  });
}

/** Summarises a run's result in a few lines. */
export function summary(directory: string, result: RunResult): string {
  const { trainable, frozen, blocks, memoryEstimate } = result;
  return [
    `best epoch ${epochs(result.bestEpoch)}: ${metrics(result.metrics, result.errors)}; last epoch: ${metrics(result.lastEpochMetrics)}`,
    ...(result.float32Metrics
      ? [`on the float32 base model, as exports and predictions use it: ${metrics(result.float32Metrics)}`]
      : []),
    `trainable parameters: ${integer(trainable.start)} at the start, ${integer(trainable.average)} on average, ${integer(trainable.end)} at the end; head ${integer(trainable.head)}`,
    ...(frozen.of > 0 ? [`projection matrices frozen: ${frozen.count} of ${frozen.of}`] : []),
    ...(blocks ? [frozenBlockSummary(blocks, result.flops)] : []),
    ...(result.rollout ? [rolloutSummary(result.rollout)] : []),
    `${duration(result.seconds)}, ${integer(result.tokensPerSecond)} tokens/s, peak memory ${bytes(result.peakMemory)} (${bytes(memoryEstimate.total)} expected), adapter ${bytes(result.adapterBytes)}`,
    `run folder: ${directory}`,
  ].join("\n");
}

/** Describes how the time of the steps was spent. */
function rolloutSummary({ answers, failed, generating, scoring, stepping }: NonNullable<RunResult["rollout"]>): string {
  const all = generating + scoring + stepping;
  const share = (seconds: number): string => `${((100 * seconds) / all).toFixed(1)} %`;
  const lost = failed > 0 ? `, ${counted(failed, "failed reward")}` : "";
  return `${counted(answers, "answer")}${lost}; time of the steps: ${share(generating)} writing answers, ${share(scoring)} rewards, ${share(stepping)} learning`;
}

/** Describes the effect of freezing blocks. */
function frozenBlockSummary({ frozenAtStep, flopsSaved, secondsSaved }: FrozenBlocksResult, flops: number): string {
  const steps = frozenAtStep.filter((step) => step !== null);
  const count = `blocks frozen: ${steps.length} of ${frozenAtStep.length}`;
  if (steps.length === 0) return count;
  const share = Math.round((100 * flopsSaved) / (flops + flopsSaved));
  return `${count} (at ${steps.length > 1 ? "steps" : "step"} ${steps.join(", ")}), which saved ${share} % of the operations and ${secondsSaved > 0 ? `about ${duration(secondsSaved)}` : "no time"}`;
}
