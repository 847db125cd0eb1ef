import { UserError } from "../errors.ts";
import { queueRunner } from "../studies/queue/queue-runner.ts";
import { type QueuedProgress, TrialQueue } from "../studies/queue/trial-queue.ts";
import { readStudy, runStudy } from "../studies/run-study.ts";
import { withinMinutes } from "../studies/search/within-minutes.ts";
import type { StudyOutcome, StudyPlan, Trial } from "../studies/study.ts";
import { counted, duration, table } from "./terminal/format.ts";
import { onStopSignal } from "./terminal/stop-signals.ts";
import { StudyProgressLines } from "./terminal/study-progress.ts";

/** Milliseconds between two polls of the workers' progress. */
const LOOK = 2000;

/** Adds a study's trials to a queue, waits for the results, and shows the progress. */
export async function runOnQueue(plan: StudyPlan, output: string, url: string): Promise<StudyOutcome> {
  if (plan.study.search.algorithm === withinMinutes) {
    throw new UserError("a search within minutes counts this machine's time; leave --queue out");
  }
  const queue = await TrialQueue.open(url);
  const lines = new QueueProgressLines();
  for (const note of plan.notes) lines.onNote(note);
  lines.log(`trials are on the queue at ${queue.address}; aflora work --queue takes them`);
  const abort = new AbortController();
  const stopListening = onStopSignal(() => abort.abort());
  const looking = setInterval(() => lines.look(queue), LOOK);
  try {
    return await runStudy(plan, output, queueRunner(queue, abort.signal), lines, Number.POSITIVE_INFINITY);
  } finally {
    clearInterval(looking);
    stopListening();
    lines.stop();
    // If one trial could not be added to the queue, stops waiting for the others.
    abort.abort();
    await queue.close();
  }
}

/** Progress of a study on a queue: a line for each finished trial, and on a terminal the workers' progress. */
class QueueProgressLines extends StudyProgressLines {
  #asked = 0;
  #done = 0;
  #alone = false;

  override onTrial(): void {
    this.#asked++;
  }

  onEnd({ seed }: Trial, label: string): void {
    this.#done++;
    this.log(`[${this.#done}/${this.#asked}] ${label}, seed ${seed}`);
  }

  /** Notes if there are no workers, and shows their progress on a terminal. */
  look(queue: TrialQueue): void {
    void queue.workers().then(
      (workers) => {
        if (workers === 0 && !this.#alone)
          this.log(`no worker is connected; start one with aflora work --queue ${queue.address}`);
        this.#alone = workers === 0;
      },
      // Some servers do not list their connections.
      () => undefined,
    );
    const { status } = this;
    if (!status) return;
    void queue.progress().then(
      (progress) => status.set([`${this.#done}/${this.#asked} done`, ...[...progress.values()].map(lineOf)]),
      () => undefined,
    );
  }
}

const lineOf = ({ worker, label, step, totalSteps }: QueuedProgress): string =>
  `${worker}: ${label}, step ${step}/${totalSteps}`;

/** Describes the state of a study: finished trials, trials on the server, and the workers' progress. */
export async function statusOnQueue(plan: StudyPlan, output: string, url: string): Promise<string> {
  const queue = await TrialQueue.open(url);
  try {
    const [{ trials }, ends, progress, counts] = await Promise.all([
      readStudy(plan, output),
      queue.ends(),
      queue.progress(),
      queue.counts(),
    ]);
    const here = trials.filter(({ status }) => status === "finished").length;
    const there = trials.filter(({ trial, status }) => status !== "finished" && ends.get(trial.id)?.end === "finished");
    const own = new Set(trials.map(({ trial }) => trial.id));
    const now = [...progress].filter(([id]) => own.has(id));
    const rows = now.map(([, { worker, label, step, totalSteps, at }]) => [
      worker,
      label,
      `${step}/${totalSteps}`,
      `${duration((Date.now() - at) / 1000)} ago`,
    ]);
    const lines = [
      `${counted(trials.length, "trial")}: ${here} finished in ${output}, another ${there.length} on the server`,
      `the queue at ${queue.address}: ${counts.waiting} waiting, ${counts.active} with a worker (of all studies)`,
      ...(rows.length > 0 ? ["", table([["worker", "trial", "step", "last sign of life"], ...rows])] : []),
    ];
    return `${lines.join("\n")}\n`;
  } finally {
    await queue.close();
  }
}
