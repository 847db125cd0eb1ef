import { measuredOn, settingsTable, studyMarkdown, summaryOf } from "../reports/study-tables.ts";
import { runStudy, type TrialJob } from "../studies/run-study.ts";
import { trialsOfStudy } from "../studies/scored-trial.ts";
import type { Study, StudyOutcome, StudyPlan } from "../studies/study.ts";
import { estimateStudy } from "../studies/study-estimate.ts";
import { planStudy } from "../studies/study-plan.ts";
import { type StudyResults, studyResults } from "../studies/study-results.ts";
import { inFlags } from "./help.ts";
import { queueUrl } from "./queue-url.ts";
import { INTERRUPTED } from "./run-training.ts";
import type { StudyFlags } from "./study-flags.ts";
import { runOnQueue, statusOnQueue } from "./study-queue.ts";
import { bytes, counted, duration, table } from "./terminal/format.ts";
import { print, say } from "./terminal/print.ts";
import { whilePending } from "./terminal/progress-line.ts";
import { onStopSignal } from "./terminal/stop-signals.ts";
import { StudyProgressLines } from "./terminal/study-progress.ts";
import { runTrialInProcess } from "./trial-process.ts";

const FAILED = 1;

/** Runs a study here or on a queue, prints the results and sets the exit code; or prints its plan or state. */
export async function doStudy(study: Study, output: string, flags: StudyFlags): Promise<void> {
  const { dryRun, queue, status, markdown, json } = flags;
  const plan = await whilePending("planning the trials", planStudy(study));
  if (dryRun) return showPlan(plan, json === true);
  const onQueue = queue === undefined && !status ? undefined : queueUrl(queue);
  if (status) {
    print(await statusOnQueue(plan, output, onQueue!));
    return;
  }
  const outcome = onQueue === undefined ? await runHere(plan, output) : await runOnQueue(plan, output, onQueue);
  const trials = trialsOfStudy(plan, outcome);
  const results = studyResults({ ...study, notes: plan.notes }, trials);
  const { writeStudyPages } = await import("../reports/study.ts");
  await writeStudyPages(output, results, trials);
  if (json) print(`${JSON.stringify(results, null, 2)}\n`);
  else print(markdown ? studyMarkdown(results) : terminalText(results));
  const failed = outcome.trials.filter((trial) => trial.status === "failed");
  for (const { directory, reason } of failed) log(`failed: ${directory}: ${reason}`);
  log(
    outcome.interrupted
      ? "interrupted; run the same command again to continue"
      : `study.md, study.json, study.csv and report.html are in ${output}`,
  );
  process.exitCode = outcome.interrupted ? INTERRUPTED : failed.length > 0 ? FAILED : 0;
}

async function runHere(plan: StudyPlan, output: string): Promise<StudyOutcome> {
  for (const note of plan.notes) log(inFlags(note));
  const abort = new AbortController();
  const lines = new StudyProgressLines();
  const stopListening = onStopSignal(() => {
    abort.abort();
    lines.log("saving what is done; press Ctrl-C again to end at once");
  });
  try {
    return await runStudy(plan, output, (job) => runJob(job, abort.signal, lines), lines);
  } finally {
    stopListening();
    lines.stop();
  }
}

/** Runs a trial in a process, at most until its time is over. */
export async function runJob(job: TrialJob, signal: AbortSignal, lines: StudyProgressLines) {
  const { until } = job;
  const left = until && Math.max(0, Math.round(until.time - performance.now()));
  return runTrialInProcess(job, {
    signal: until?.by === "abort" ? AbortSignal.any([signal, AbortSignal.timeout(left!)]) : signal,
    timeUpAfter: until?.by === "best" ? left : undefined,
    onNews: (news) => lines.news(news),
  });
}

async function showPlan(plan: StudyPlan, json: boolean): Promise<void> {
  const { configurations, expected, notes, study } = plan;
  const estimate = await estimateStudy(plan, (label) => log(`timing a few steps: ${label}`));
  if (json) {
    const trials = configurations.flatMap(({ label, trials: of }) => of.map(({ id, seed }) => ({ id, label, seed })));
    print(`${JSON.stringify({ title: study.title, notes, expected, trials, estimate }, null, 2)}\n`);
    return;
  }
  const rows = configurations.map(({ label, trials }, i) => [
    label,
    trials.map(({ seed }) => seed).join(", "),
    duration(estimate.trials[i]!.seconds),
  ]);
  const seeds = counted(study.seeds.length, "seed");
  const rounds = expected.map(
    ({ trials, to }) => `${counted(trials, "trial")} to ${Number.isFinite(to) ? `epoch ${to}` : "the end"}`,
  );
  const lines = [
    table([["configuration", "seeds", "a trial"], ...rows]),
    "",
    `${counted(configurations.length, "configuration")} × ${seeds} = ${counted(configurations.length * study.seeds.length, "trial")}`,
    ...(rounds.length > 1 ? [`${study.search.algorithm.name}: ${rounds.join(", ")}`] : []),
    ...notes.map(inFlags),
    `about ${duration(estimate.seconds)} on this machine, one trial after another, and ${bytes(estimate.memory)} of memory (${counted(estimate.timed, "kind")} of trial timed, a few steps each)`,
  ];
  print(`${lines.join("\n")}\n`);
}

function terminalText(results: StudyResults): string {
  const { tasks } = results;
  if (tasks.length === 0) return "";
  const said = tasks.map((task) => `${summaryOf(task)} ${measuredOn(task)}`.trimEnd());
  return `${table(settingsTable(results))}\n\n${said.join("\n")}\n`;
}

const log = (line: string): void => say(`${line}\n`);
