import { METHODS } from "../methods/methods.ts";
import { optionOfRun } from "../preparation/run-options-node.ts";
import { stepsPerEpoch } from "../training/batches/batch-order.ts";
import { secondsOf, type Timing, timeRun } from "./estimate.ts";
import { mean } from "./statistics.ts";
import type { Configuration, StudyPlan } from "./study.ts";

export interface StudyEstimate {
  seconds: number;
  /** Maximum memory of a trial's process, in bytes. */
  memory: number;
  trials: { label: string; seconds: number }[];
  /** Number of timed configurations. Others get the time of the nearest timed one. */
  timed: number;
}

const keepsStepCost = (option: string): boolean =>
  (optionOfRun(option) ?? METHODS.schemaOf(option))?.meta()?.sameStepCost === true;

/** Maximum number of timed kinds of trials: each takes seconds. */
const MOST_TIMED = 24;

/** Seconds to start Node and load aflora, measured when this module loads, before other work. */
const PROCESS_START = Math.min(process.uptime(), 5);

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
    // Epochs and steps are the trial's own. Trials are not trained once more on all rows.
    const { examples, epochs, batchSize } = configuration.length;
    const steps = { stepsPerEpoch: stepsPerEpoch(examples, batchSize), refitSteps: 0 };
    return { ...own, length: { ...own.length, ...steps, epochs } };
  };
  const whole = plan.configurations.map((configuration) => {
    const timing = timingOf(configuration);
    return { label: configuration.label, timing, more: configuration.length.reported };
  });
  const trials = whole.map(({ label, timing, more }) => ({ label, seconds: PROCESS_START + secondsOf(timing, more) }));
  // Which configurations continue is unknown: each round is estimated by the mean.
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

function nearest(
  { trials }: Configuration,
  timed: readonly { timing: Timing; configuration: Configuration }[],
): Timing {
  const own = trials[0]!.config;
  const shared = ({ configuration }: { configuration: Configuration }): number =>
    Object.entries(configuration.trials[0]!.config).filter(([key, value]) => own[key] === value).length;
  return timed.toSorted((a, b) => shared(b) - shared(a))[0]!.timing;
}
