import { join } from "node:path";
import { Command } from "commander";
import { UserError } from "../../errors.ts";
import { runOptions } from "../../preparation/run-options-node.ts";
import { parseListenAddress, serveMetrics } from "../../serving/metrics-server.ts";
import { PrometheusMetrics } from "../../serving/prometheus.ts";
import { type WorkDone, type WorkEnd, work } from "../../studies/queue/work.ts";
import { parseDuration } from "../duration.ts";
import { addExamples, inFlags } from "../help.ts";
import { QUEUE_VARIABLE, queueUrl } from "../queue-url.ts";
import { INTERRUPTED } from "../run-training.ts";
import { addSchemaOptions, givenOptions, numberOption } from "../schema-options.ts";
import { say } from "../terminal/print.ts";
import { onStopSignal } from "../terminal/stop-signals.ts";
import { runTrialInProcess } from "../trial-process.ts";
import { TRAINING } from "./trial.ts";

const EXAMPLES = [
  "aflora work --queue redis://127.0.0.1:6379",
  "AFLORA_QUEUE=rediss://:password@lab.example:6380 aflora work --threads 4",
  "aflora work --queue redis://127.0.0.1:6379 --until-idle 10m --metrics 9464",
];

const NOTE = `For a run (aflora train --queue), a worker needs no files: it gets a missing base
model through the server. For a study, it reads data and models at the study's paths, relative to
this folder. Ctrl-C and SIGTERM return unfinished work. The exit code is 0 after --until-idle or
--trials, 130 after a signal, and 2 if this worker cannot take part.`;

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
    .option(
      "--until-idle <time>",
      "end if there was nothing to do for this time, such as 30s, 10m or 1h (default: wait for more)",
    )
    .addOption(numberOption("--trials <n>", "end after this number of trials (default: no limit)"))
    .option(
      "--metrics <address>",
      "serve /metrics (Prometheus) and /health at this port of 127.0.0.1, or at host:port (default: off)",
    )
    .addOption(
      numberOption(
        "--lost-after <seconds>",
        "time without a sign of life after which a worker with a trial counts as lost (default: 30)",
      ),
    );
  addSchemaOptions(command, runOptions.pick({ threads: true, device: true, offline: true }), "Computing");
  return addExamples(command, EXAMPLES, NOTE).action(async () => {
    const given = givenOptions<Flags>(command);
    const { queue, dir = join("runs", "work"), lostAfter = 30, untilIdle, trials, metrics: at, ...compute } = given;
    if (trials !== undefined && !(Number.isInteger(trials) && trials > 0)) {
      throw new UserError(`--trials must be a whole number above 0, not ${trials}`);
    }
    if (!(lostAfter >= 1)) throw new UserError(`--lost-after must be at least 1 second, not ${lostAfter}`);
    const abort = new AbortController();
    const measured = new WorkMetrics();
    const server = at === undefined ? undefined : await serveMetrics(measured.metrics, parseListenAddress(at));
    if (server) log(`metrics at ${server.url}/metrics`);
    const stopListening = onStopSignal(() => {
      log("returning unfinished work; press Ctrl-C again to end at once");
      abort.abort();
    });
    try {
      const why = await work({
        url: queueUrl(queue),
        directory: dir,
        compute,
        lostAfter,
        untilIdle: untilIdle === undefined ? undefined : parseDuration("--until-idle", untilIdle),
        trials,
        signal: abort.signal,
        run: (job, onStep) =>
          runTrialInProcess(job, {
            signal: abort.signal,
            onNews: ({ stage, done, total }) => (stage === TRAINING ? onStep(done, total!) : undefined),
          }),
        onReady: (address, counts) => {
          measured.readsQueue(counts);
          log(`waiting for trials and runs at ${address}`);
        },
        onNote: (note) => log(inFlags(note)),
        onWork: (done) => measured.add(done),
      });
      log(ENDED[why]);
      process.exitCode = why === "asked" ? INTERRUPTED : 0;
    } finally {
      stopListening();
      await server?.close();
      // The client would look for a missing server forever. An error is printed before, and sets the exit code.
      setImmediate(() => process.exit());
    }
  });
}

/** Last line of a worker, by the reason of its end. */
const ENDED: Readonly<Record<WorkEnd, string>> = {
  asked: "stopped; other workers can take the returned work",
  idle: "stopped: nothing was left to do",
  trials: "stopped: this was the last trial of --trials",
};

/** Counts what a worker does. */
class WorkMetrics {
  readonly metrics = new PrometheusMetrics();
  readonly #steps = this.metrics.counter("aflora_steps_total", "Training steps of trials on this worker.");
  readonly #trials = this.metrics.counter("aflora_trials_total", "Trials of this worker by their end.");
  readonly #shards = this.metrics.counter("aflora_shards_total", "Shards of runs that this worker computed.");

  readsQueue(counts: () => Promise<{ waiting: number; active: number }>): void {
    const { metrics } = this;
    metrics.gauge("aflora_queue_waiting", "Trials that wait on the queue.", async () => (await counts()).waiting);
    metrics.gauge("aflora_queue_active", "Trials that workers train.", async () => (await counts()).active);
  }

  add(done: WorkDone): void {
    if ("steps" in done) this.#steps({}, done.steps);
    else if ("trial" in done) this.#trials({ end: done.trial });
    else this.#shards({}, done.shards);
  }
}

interface Flags {
  queue?: string | true;
  dir?: string;
  lostAfter?: number;
  untilIdle?: string;
  trials?: number;
  metrics?: string;
  [option: string]: unknown;
}

const log = (line: string): void => say(`${line}\n`);
