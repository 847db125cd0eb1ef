import { optionOfRun } from "../fine-tuning/run-options-node.ts";
import { METHODS } from "../methods/methods.ts";
import { stepsPerEpoch } from "../training/batches/batch-order.ts";
import { secondsOf, type Timing, timeRun } from "./estimate.ts";
import { mean } from "./statistics.ts";
import type { Configuration, StudyPlan } from "./study.ts";

/** What a study is expected to take on this machine, one trial after another. */
export interface StudyEstimate {
  seconds: number;
  /** Most that a trial's process is expected to take, bytes. */
  memory: number;
  /** Of each configuration the seconds of one trial, trained to its end. */
  trials: { label: string; seconds: number }[];
  /** Configurations that were timed; others take what those that are nearest took. */
  timed: number;
}

/** Whether an option does not change the cost of a training step, as its schema declares. */
const keepsStepCost = (option: string): boolean =>
  (optionOfRun(option) ?? METHODS.schemaOf(option))?.meta()?.sameStepCost === true;

/** Kinds of trials that are timed at most: each takes seconds. */
const MOST_TIMED = 24;

/** Seconds that a process takes for Node's start and to load aflora: as this module is loaded, before any other work. */
const PROCESS_START = Math.min(process.uptime(), 5);

/** Times a few steps of each kind of trial that a study has. */
export async function estimateStudy(
  plan: StudyPlan,
  onTiming: (label: string) => void = () => {},
): Promise<StudyEstimate> {
  const timings = new Map<string, { timing: Timing; configuration: Configuration }>();
  const kinds = plan.configurations.map((configuration) => ({ configuration, key: kindOf(configuration) }));
  for (const { configuration, key } of kinds) {
    if (timings.has(key) || timings.size >= MOST_TIMED) continue;
    onTiming(configuration.label);
    timings.set(key, { configuration, timing: await timeRun(configuration.trials[0]!.config) });
  }
  const timingOf = (configuration: Configuration): Timing => {
    const own = timings.get(kindOf(configuration))?.timing ?? nearest(configuration, [...timings.values()]);
    // The number of epochs and steps is its own; trials are not trained once more on all rows.
    const { examples, epochs, batchSize } = configuration.length;
    const steps = { stepsPerEpoch: stepsPerEpoch(examples, batchSize), refitSteps: 0 };
    return { ...own, length: { ...own.length, ...steps, epochs } };
  };
  const whole = plan.configurations.map((configuration) => {
    const timing = timingOf(configuration);
    return { label: configuration.label, timing, more: configuration.length.reported };
  });
  const trials = whole.map(({ label, timing, more }) => ({ label, seconds: PROCESS_START + secondsOf(timing, more) }));
  // Which ones go on is not known: each round's are taken to be like the mean.
  const seconds = plan.expected.reduce((sum, { trials: count, from, to }) => {
    const each = whole.map(({ timing, more }) => {
      const until = Math.min(to, timing.length.epochs);
      return PROCESS_START + secondsOf(timing, more, { from: Math.min(from, until), to: until });
    });
    return sum + count * mean(each);
  }, 0);
  const memory = Math.max(...whole.map(({ timing }) => timing.memory.total));
  return { seconds, memory, trials, timed: timings.size };
}

function kindOf({ trials }: Configuration): string {
  return JSON.stringify(Object.entries(trials[0]!.config).filter(([key]) => !keepsStepCost(key)));
}

/** Of those that were timed the one that shares most options. */
function nearest(
  { trials }: Configuration,
  timed: readonly { timing: Timing; configuration: Configuration }[],
): Timing {
  const own = trials[0]!.config;
  const shared = ({ configuration }: { configuration: Configuration }): number =>
    Object.entries(configuration.trials[0]!.config).filter(([key, value]) => own[key] === value).length;
  return timed.toSorted((a, b) => shared(b) - shared(a))[0]!.timing;
}
