import { join } from "node:path";
import { Command } from "commander";
import { UserError } from "../../errors.ts";
import { runOptions } from "../../fine-tuning/run-options-node.ts";
import { work } from "../../studies/queue/work.ts";
import { addExamples } from "../help.ts";
import { QUEUE_VARIABLE, queueUrl } from "../queue-url.ts";
import { addSchemaOptions, givenOptions, numberOption } from "../schema-options.ts";
import { onStopSignal } from "../terminal/stop-signals.ts";
import { runTrialInProcess } from "../trial-process.ts";

const EXAMPLES = [
  "aflora work --queue redis://127.0.0.1:6379",
  "AFLORA_QUEUE=rediss://:password@lab.example:6380 aflora work --threads 4",
];

const NOTE = `For a run (aflora train --queue) it needs no files: a base model that it lacks comes through the
server. For a study it reads data and models at the study's paths, relative to this folder. Ctrl-C
returns what is not done.`;

/** `aflora work` */
export function workCommand(): Command {
  const command = new Command("work")
    .option(
      "--queue [url]",
      `Valkey or Redis server: redis://[:password@]host:port, rediss:// over TLS (${QUEUE_VARIABLE})`,
    )
    .option(
      "--dir <dir>",
      "folder of trials and base models; workers that share it continue from each other's checkpoints (default: runs/work)",
    )
    .addOption(
      numberOption(
        "--lost-after <seconds>",
        "time without a sign of life after which a worker with a trial counts as lost (default: 30)",
      ),
    );
  addSchemaOptions(command, runOptions.pick({ threads: true, device: true, offline: true }), "Computing");
  return addExamples(command, EXAMPLES, NOTE).action(async () => {
    const { queue, dir = join("runs", "work"), lostAfter = 30, ...compute } = givenOptions<Flags>(command);
    if (!(lostAfter >= 1)) throw new UserError(`--lost-after must be at least 1 second, not ${lostAfter}`);
    const abort = new AbortController();
    const stopListening = onStopSignal(() => {
      log("giving back what is not done; once more ends at once");
      abort.abort();
    });
    try {
      await work({
        url: queueUrl(queue),
        directory: dir,
        compute,
        lostAfter,
        signal: abort.signal,
        run: (job, onStep) =>
          runTrialInProcess(job, { signal: abort.signal, onNews: ({ step, totalSteps }) => onStep(step, totalSteps) }),
        onReady: (address) => log(`waiting for trials and runs at ${address}`),
        onNote: log,
      });
      // The client would look for a missing server forever.
      process.exit();
    } finally {
      stopListening();
    }
  });
}

interface Flags {
  queue?: string | true;
  dir?: string;
  lostAfter?: number;
  [option: string]: unknown;
}

const log = (line: string): void => void process.stderr.write(`${line}\n`);
