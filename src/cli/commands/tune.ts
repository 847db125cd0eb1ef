import { join } from "node:path";
import { Command } from "commander";
import { UserError } from "../../errors.ts";
import { writeAtomically } from "../../files/atomic-file-node.ts";
import type { EvaluationSource } from "../../runs/evaluate-run.ts";
import { readFinishedRun } from "../../runs/read-run.ts";
import { besideChance, type PairedDifference, pairedDifference } from "../../studies/paired-difference.ts";
import { type HeldOutScore, heldOutScore } from "../../studies/run-study.ts";
import { trialsOfStudy } from "../../studies/scored-trial.ts";
import type { Study, TrialOutcome } from "../../studies/study.ts";
import { studyResults } from "../../studies/study-results.ts";
import { keepWinner, searchFolder, type TuneOutcome, tune } from "../../studies/tune.ts";
import { addExamples, everydayHelp } from "../help.ts";
import { INTERRUPTED } from "../run-training.ts";
import { addRunOptions, givenOptions } from "../schema-options.ts";
import { runJob } from "../study-command.ts";
import { counted } from "../terminal/format.ts";
import { print } from "../terminal/print.ts";
import { ProgressLine } from "../terminal/progress-line.ts";
import { onStopSignal } from "../terminal/stop-signals.ts";
import { StudyProgressLines } from "../terminal/study-progress.ts";
import { summary } from "./train.ts";

const EXAMPLES = [
  "aflora tune --train tickets.csv --text message --label team --minutes 20",
  "aflora tune --train tickets.csv --text message --label team --validation held.csv --method lora --minutes 60",
];

const NOTE = "tune varies the method, learning rates, rank, batch size, clipping and epochs, but not what you set.";

const EVERYDAY = [
  "minutes",
  "metric",
  "output",
  "model",
  "method",
  "train",
  "validation",
  "text",
  "label",
  "task",
  "data",
  "seed",
];

/** `aflora tune` */
export function tuneCommand(): Command {
  const command = new Command("tune")
    .requiredOption("--minutes <n>", "total time in minutes", Number)
    .option("--metric <name>", "metric to choose by (default: the task's first)");
  addRunOptions(command, ["validationSplit"]);
  everydayHelp(command, EVERYDAY);
  return addExamples(command, EXAMPLES, NOTE).action(async () => {
    const { minutes, metric, output = join("runs", "tuned"), seed = 42, ...options } = givenOptions<Flags>(command);
    if (!(minutes > 0)) throw new UserError(`--minutes must be above 0, not ${minutes}`);
    const abort = new AbortController();
    const lines = new StudyProgressLines();
    lines.plan();
    const stopListening = onStopSignal(() => {
      abort.abort();
      lines.log("saving what is done; press Ctrl-C again to end at once");
    });
    try {
      const found = await tune(
        { options, minutes, output, seed, metric, signal: abort.signal },
        (job) => runJob(job, abort.signal, lines),
        lines,
      );
      abort.signal.throwIfAborted();
      if (!found.winner) {
        lines.log("no trial finished in time");
        process.exitCode = 1;
        return;
      }
      lines.stop();
      const { plan, outcome, winner, again } = found;
      await keepWinner(again ?? winner, output);
      const trials = trialsOfStudy(plan, outcome);
      const about = await storyOf(found, winner, options, abort.signal);
      const results = studyResults({ ...plan.study, about, notes: plan.notes }, trials);
      const { renderStudy, writeStudyPages } = await import("../../reports/study.ts");
      await writeStudyPages(searchFolder(output), results, trials);
      await writeAtomically(join(output, "tune.html"), (file) => file.writeFile(renderStudy(results, trials)));
      const { result } = await readFinishedRun(output);
      print(`${about}\n${summary(output, result)}\nwhat was tried: ${join(output, "tune.html")}\n`);
    } catch (error) {
      if (!abort.signal.aborted || error !== abort.signal.reason) throw error;
      lines.log("interrupted; run the same command again to continue");
      process.exitCode = INTERRUPTED;
    } finally {
      stopListening();
      lines.stop();
    }
  });
}

/** Describes the winner, whether its gain is beyond chance, and the score of the kept run. */
export async function storyOf(
  { plan: { study }, outcome, winner: _, again, defaults, shortenedFrom }: TuneOutcome,
  winner: TrialOutcome,
  options: Record<string, unknown>,
  signal?: AbortSignal,
): Promise<string> {
  const tried = outcome.trials.filter(({ configuration }) => configuration.stage === undefined).length;
  const shortened =
    shortenedFrom === undefined
      ? ""
      : ` (${counted(Number(defaults.trial.config.epochs), "epoch")} instead of ${shortenedFrom})`;
  const { reported } = winner.trial;
  const source = { ...reported, ...howToCompute(options) };
  const told = { tried, label: winner.configuration.label, shortened };
  const byReward = winner !== defaults && winner.records?.result?.rollout !== undefined;
  const difference =
    winner === defaults || byReward
      ? undefined
      : await compared([winner.directory, defaults.directory], source, study.metric, signal);
  const story = byReward
    ? storyByReward(told, heldOutScore(winner, study)!, heldOutScore(defaults, study))
    : storyOfWinner({ ...told, difference, reportedSeparately: reported !== undefined });
  return again ? `${story} ${storyOfKept(again, study)}` : story;
}

/** Compares the winner with the defaults, with progress. */
function compared(
  [winner, defaults]: [string, string],
  source: EvaluationSource,
  metric: string | undefined,
  signal: AbortSignal | undefined,
) {
  const progress = new ProgressLine("comparing the winner with the defaults", "examples");
  const onDone = (done: number, of: number): void => progress.at(done, { of });
  return pairedDifference(winner, defaults, { ...source, onDone }, metric, signal).finally(() => progress.end());
}

/** Describes the score of the winner that was trained once more. */
function storyOfKept(kept: TrialOutcome, study: Study): string {
  const found = heldOutScore(kept, study);
  if (!found) return "The run that is kept was trained with these settings once more, on nine tenths of the examples.";
  const { metric, score } = found;
  const reported = kept.reported?.metrics[metric];
  const there =
    reported === undefined ? "" : `, and ${reported.toFixed(4)} on the examples that played no part in the choice`;
  return `The run that is kept was trained with these settings once more, on nine tenths of the examples. Its ${metric} is ${score.toFixed(4)} on the other tenth${there}.`;
}

/** Given options of how to compute. */
const howToCompute = ({ threads, device, offline }: Record<string, unknown>): EvaluationSource =>
  Object.fromEntries(Object.entries({ threads, device, offline }).filter(([, value]) => value !== undefined));

interface Flags {
  minutes: number;
  metric?: string;
  output?: string;
  seed?: number;
  [option: string]: unknown;
}

/** Facts about the winner. */
interface Told {
  tried: number;
  label: string;
  shortened: string;
}

/** Describes a winner that learned from rewards. Only training computes them, so its gain cannot be measured again. */
function storyByReward({ tried, label, shortened }: Told, first: HeldOutScore, second?: HeldOutScore): string {
  const other = second ? `against ${second.score.toFixed(4)} for` : "and all rewards failed for";
  const scores = `${first.metric} is ${first.score.toFixed(4)}, ${other} the defaults${shortened}`;
  return `Of ${counted(tried, "setting")} this one did best on the held-out examples: ${label}. There its ${scores}. The best of several on the same examples is partly luck.`;
}

/** Describes the winner, and whether its gain is beyond chance. */
function storyOfWinner(of: Told & { difference: PairedDifference | undefined; reportedSeparately: boolean }): string {
  const { label, shortened, difference, reportedSeparately } = of;
  if (of.tried === 1) {
    return `There was time for only one setting, the defaults of aflora train${shortened}: ${label}.`;
  }
  const tried = counted(of.tried, "setting");
  if (!difference) {
    return `Of ${tried} the defaults of aflora train${shortened} did best on the held-out examples: ${label}.`;
  }
  const { metric, examples, first, second, gain, standardError } = difference;
  const four = (value: number): string => value.toFixed(4);
  const scores = `${metric} is ${four(first)}, against ${four(second)} for the defaults${shortened}`;
  const where = reportedSeparately
    ? `On ${counted(examples, "example")} that played no part in the choice its`
    : `On the ${counted(examples, "example")} held out, by which it was chosen, its`;
  const caution = reportedSeparately
    ? ""
    : " The best of several on the same examples is partly luck: --validation FILE gives a score without it.";
  return `Of ${tried} this one did best on the held-out examples: ${label}. ${where} ${scores}; the difference, ${four(gain)} with a standard error of ${four(standardError)}, is ${besideChance(difference)}.${caution}`;
}
