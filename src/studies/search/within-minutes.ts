import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { z } from "zod";
import { opt, UserError } from "../../errors.ts";
import { flatOptions, resolveConfig } from "../../preparation/run-options-node.ts";
import { secondsOf, type Timing, timeRun } from "../estimate.ts";
import { drawChoice, shown, type Values } from "../factors.ts";
import { mean } from "../statistics.ts";
import type {
  Configuration,
  Round,
  SearchAlgorithm,
  SearchResults,
  Study,
  StudyPlan,
  TimeLimit,
  TrialOutcome,
  Wanted,
} from "../study.ts";
import { holdingOut, optionsOfMethod } from "../trial-options.ts";
import { allToTheEnd } from "./grid.ts";
import { epochsOf, halve, rungsOf } from "./halving.ts";

export const ONCE_MORE = "The best settings once more, with more of the examples";

const REDUCTION = 3;
/** Held-out share of the training examples if they choose the epoch only. */
const HELD_OUT_AT_LAST = 0.1;
/** Lower limit on the epochs and batch sizes of compared trials, as a share of the defaults'. */
export const SHORTEST = 1 / 4;
/** Maximum number of candidates. A held-out part can hardly distinguish more. */
const MOST = 40;
/** Shares of the time in which the search should end, and must end. The rest is for writing the winner. */
const PLANNED = 0.8;
const ENDED = 0.93;
/** Share of the planned time for the defaults if other settings are compared with them. */
const WHOLE = 1 / 2;
/** The same if trials are shortened, so that three other settings fit. */
const SHORTENED = 3 / 8;
/** Share of the time in which a single run should end if no search follows. */
const ALONE = 0.85;

const options = z.object({ minutes: z.number().positive().describe("total time in minutes") });

/**
 * As much as fits into a time: the given options to their end, then successive halving over as many draws of the factors as the remaining
 * time allows. Time that is left trains the best settings again, with more of the examples.
 */
export const withinMinutes: SearchAlgorithm<typeof options> = {
  name: "minutes",
  summary: "as many trials as fit into a time limit",
  options,
  async begin(study, { minutes }, signal) {
    const began = performance.now();
    if (study.holdOut === 0) {
      throw new UserError("a search within minutes chooses on held-out examples; give a holdOut above 0");
    }
    const timing = await timeRun({ ...holdingOut(study.options, study.holdOut), seed: study.seeds[0] }, signal);
    const perSeed = minutes / study.seeds.length;
    const length = lengthThatFits(timing, "batchSize" in study.options, perSeed, study.holdOut);
    const note = shortening(timing, length, perSeed);
    const clock = { began, seconds: 60 * minutes };
    return {
      choices: [firstOf(study, timing, length)],
      expects: allToTheEnd.expects,
      rounds: (plan, results) => roundsOf(plan, results, clock, { compares: length.compares, note }),
    };
  },
};

/** The given options, in as many epochs as fit. Names the settings that suit the examples: candidates are drawn around them. */
function firstOf(study: Study, timing: Timing, { epochs, batchSize, compares }: Length): Wanted {
  const { patience: _, ...untilTheEnd } = study.options;
  const options = {
    method: timing.method,
    ...(compares ? study.options : untilTheEnd),
    epochs,
    batchSize,
    ...(timing.length.contrastive && { contrastive: true }),
  };
  const how = compares ? {} : { holdOut: HELD_OUT_AT_LAST, refit: true };
  return { values: valuesOf(options, study), options, ...how };
}

function valuesOf(options: Readonly<Record<string, unknown>>, { factors }: Study): Values {
  const all = flatOptions(resolveConfig(optionsOfMethod(options)));
  return Object.fromEntries(factors.flatMap(({ name }) => (all[name] === undefined ? [] : [[name, shown(all[name])]])));
}

interface Clock {
  began: number;
  seconds: number;
}

async function* roundsOf(
  plan: StudyPlan,
  results: SearchResults,
  { began, seconds: total }: Clock,
  { compares, note }: { compares: boolean; note: string | undefined },
): AsyncGenerator<Round, void, void> {
  const elapsed = (): number => (performance.now() - began) / 1000;
  const until = (by: TimeLimit["by"]): TimeLimit => ({ time: began + 1000 * ENDED * total, by });
  const [first] = plan.configurations as [Configuration];
  const seeds = first.trials.length;
  const startedAt = elapsed();
  yield { configurations: [first], until: until("best"), ...(note !== undefined && { note }) };
  const defaults = await results.outcomesOf(first);
  if (!compares || !areFinished(defaults)) return;

  // Estimates the other trials from the defaults: time per epoch, and the rest once per start.
  const took = (elapsed() - startedAt) / seeds;
  const trained = mean(defaults.map(({ records }) => records!.result!.seconds));
  const perEpoch = trained / Math.max(1, mean(defaults.map(({ epochs }) => epochs)));
  const perStart = Math.max(0, mean(defaults.map(({ processSeconds = took }) => processSeconds)) - trained);
  const { epochs } = first.length;
  const costOf = (count: number): number => {
    const rungs = rungsOf(count, epochs, REDUCTION);
    const starts = rungs.reduce((sum, rung) => sum + rung.configurations, 0);
    return seeds * (epochsOf(rungs) * perEpoch + starts * perStart);
  };
  const left = PLANNED * total - elapsed();
  let count = 0;
  while (count < MOST && costOf(count + 1) <= left) count++;
  const tried = [first, ...(await candidates(plan, first, count))];
  let fits: string | undefined =
    `${count} other ${count === 1 ? "setting fits" : "settings fit"} into the time that is left`;
  for await (const round of halve(tried, REDUCTION, results)) {
    yield { ...round, until: until("abort"), note: [fits, round.note].filter(Boolean).join(": ") };
    fits = undefined;
  }

  const winner = await firstFinished(await results.ranked(tried), results);
  if (!winner) return;
  const ofWinner = await results.outcomesOf(winner);
  const perWinner = mean(ofWinner.map(({ records, epochs: done }) => records!.result!.seconds / Math.max(1, done)));
  const more = (1 - HELD_OUT_AT_LAST) / (1 - plan.study.holdOut);
  const cost = seeds * (perStart + perWinner * winner.length.epochs * more);
  if (elapsed() + cost > ENDED * total) return;
  const { patience: _, ...options } = winner.options;
  const last = { stage: ONCE_MORE, holdOut: HELD_OUT_AT_LAST, refit: true };
  const again = await plan.more({ values: winner.values, options, ...last });
  const share = `${100 * (1 - HELD_OUT_AT_LAST)} %`;
  yield {
    configurations: [again],
    until: until("abort"),
    note: `the best settings once more, with ${share} of the examples`,
  };
}

const areFinished = (outcomes: readonly TrialOutcome[]): boolean =>
  outcomes.every(({ status }) => status === "finished");

async function firstFinished(
  configurations: readonly Configuration[],
  results: SearchResults,
): Promise<Configuration | undefined> {
  for (const configuration of configurations) {
    if (areFinished(await results.outcomesOf(configuration))) return configuration;
  }
  return undefined;
}

/** At most `count` draws that differ from each other and from the first configuration; the same each time. */
async function candidates(plan: StudyPlan, first: Configuration, count: number): Promise<Configuration[]> {
  const random = xoroshiro128plus(0);
  // A kind that was detected from the data may have its own recipe, which draws start from.
  const { kind } = first.trials[0]!.config;
  const options = kind === undefined ? first.options : { ...first.options, kind };
  const found = new Map([[first.trials[0]!.id, first]]);
  for (let i = 0; i < count; i++) {
    const candidate = await plan.more(drawChoice(plan.study.factors, options, random));
    found.set(candidate.trials[0]!.id, candidate);
  }
  return [...found.values()].slice(1);
}

interface Length {
  epochs: number;
  batchSize: number;
  /** Whether time is left for more than one configuration. */
  compares: boolean;
}

/**
 * Returns the options' own length if that leaves half of the time for other settings. Otherwise fewer epochs, in smaller batches that
 * keep
 * the number of steps unless batch sizes are compared. If even fewer epochs were needed, a single run of all that fits: comparing such
 * short runs teaches little.
 * @param timing in seconds, for the given options
 * @param batchIsGiven whether the user gave the batch size, which stays
 * @param minutes for one seed
 */
export function lengthThatFits(timing: Timing, batchIsGiven: boolean, minutes: number, holdOut: number): Length {
  const { epochs: wanted, batchSize } = timing.length;
  const within = (seconds: number, of = timing): number => {
    let epochs = wanted;
    while (epochs > 0 && secondsOf(of, 0, { to: epochs }) > seconds) epochs--;
    return epochs;
  };
  const total = 60 * minutes;
  const planned = PLANNED * total;
  if (within(WHOLE * planned) === wanted) return { epochs: wanted, batchSize, compares: true };
  const compared = within(SHORTENED * planned);
  const compares = compared > 0 && compared >= SHORTEST * wanted;
  const alone = timingAlone(timing, holdOut);
  const epochs = compares ? compared : within(ALONE * total, alone);
  if (epochs === 0) {
    const one = secondsOf(alone, 0, { to: 1 });
    const needed = Math.ceil(one / (60 * ALONE));
    throw new UserError(
      `${opt("minutes")} ${minutes} is too few: an epoch alone takes ${Math.ceil(one)} s here; give ${opt("minutes")} ${needed} or more, or fewer examples with ${opt("maxTrainSamples")}`,
    );
  }
  const share = Math.max(SHORTEST, epochs / wanted);
  const stays = batchIsGiven || timing.length.contrastive;
  return { epochs, batchSize: stays ? batchSize : Math.max(1, Math.floor(batchSize * share)), compares };
}

/** Timing of a run that is compared with nothing and holds out less, from that of a compared one. */
function timingAlone(timing: Timing, holdOut: number): Timing {
  const { stepsPerEpoch, validation } = timing.length;
  const length = {
    ...timing.length,
    stepsPerEpoch: Math.ceil((stepsPerEpoch * (1 - HELD_OUT_AT_LAST)) / (1 - holdOut)),
    validation: (validation * HELD_OUT_AT_LAST) / holdOut,
  };
  return { ...timing, length };
}

function shortening(timing: Timing, { epochs, batchSize, compares }: Length, minutes: number): string | undefined {
  const { epochs: wanted, batchSize: whole } = timing.length;
  const smaller = batchSize < whole ? `, in batches of ${batchSize} instead of ${whole}` : "";
  if (compares && epochs === wanted) return undefined;
  if (compares) return `the defaults' ${wanted} epochs do not fit into the time: all trials have ${epochs}${smaller}`;
  const enough = secondsOf(timing, 0, { to: Math.ceil(SHORTEST * wanted) }) / (60 * SHORTENED * PLANNED);
  return `there is no time to compare settings: one run of ${epochs} of the defaults' ${wanted} epochs${smaller}${smaller && ","} takes all of it; about ${Math.max(Math.floor(minutes) + 1, Math.ceil(enough))} minutes are enough to compare some`;
}
