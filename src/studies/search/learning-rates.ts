import { z } from "zod";
import { opt, UserError } from "../../errors.ts";
import { gridOf } from "../factors.ts";
import type { Configuration, Round, SearchAlgorithm, SearchResults, Study, StudyPlan, Wanted } from "../study.ts";
import { trialsOf } from "./grid.ts";

const STAGE = "Learning rates tried on a part of the training examples";

/** Held-out share of the training examples if the study itself holds none out. */
const HELD_OUT = 0.2;

const options = z.object({ trials: z.int().positive().max(100).default(4).describe("learning rates to try") });

/**
 * Every combination, each with its best learning rate. Rates are half a decade apart, and tried with the first seed on a held-out part of
 * the training examples. The head's rate is scaled along.
 */
export const learningRates: SearchAlgorithm<typeof options> = {
  name: "learning-rates",
  summary: "every combination, each with the best of several learning rates",
  options,
  async begin(study, { trials }) {
    checkOpen(study);
    return {
      choices: gridOf(study.factors, study.options),
      expects(configurations) {
        checkApart(study, configurations);
        const all = { from: 0, to: Number.POSITIVE_INFINITY };
        return [
          { ...all, trials: trials * configurations.length },
          { ...all, trials: trialsOf(configurations) },
        ];
      },
      rounds: (plan, results) => roundsOf(plan, results, trials),
    };
  },
};

function checkOpen({ options, factors }: Study): void {
  const set = [
    ...Object.keys(options),
    ...factors.flatMap(({ name, levels = [] }) => [name, ...levels.flatMap((level) => Object.keys(level.options))]),
  ];
  const given = ["learningRate", "headLearningRate", "preset"].find((name) => set.includes(name));
  if (given === undefined) return;
  throw new UserError(
    given === "preset"
      ? "a search for learning rates finds what preset gives; leave one of them out"
      : `a search for learning rates chooses ${given} itself; leave it out`,
  );
}

/** Checks that the reported examples have no part in the choice of the learning rate. */
function checkApart({ holdOut }: Study, configurations: readonly Configuration[]): void {
  if (holdOut > 0 || !configurations.some(({ holdsOut }) => holdsOut)) return;
  throw new UserError(
    `a search for learning rates splits the training examples, so it needs others to compare on: give ${opt("validation")} FILE, or a data set with a validation split`,
  );
}

/** Results of a configuration by learning rate, in half decades relative to the recipe's rate. */
interface Line {
  configuration: Configuration;
  recipe: { learningRate: number; headLearningRate: number; contrastive: boolean };
  tried: Map<number, Configuration>;
}

async function* roundsOf(plan: StudyPlan, results: SearchResults, trials: number): AsyncGenerator<Round, void, void> {
  const { study } = plan;
  const lines = await Promise.all(
    plan.configurations.map(async (configuration): Promise<Line> => {
      const { run } = await plan.resolve(configuration.trials[0]!.config);
      return { configuration, recipe: run, tried: new Map() };
    }),
  );
  const tuned = { stage: STAGE, seeds: [study.seeds[0]!], holdOut: study.holdOut || HELD_OUT };
  for (let i = 0; i < trials; i++) {
    const next = lines.map(async (line) => {
      const place = nextPlace([...line.tried.keys()], await bestPlace(line, results));
      const { values, options, found } = withRate(line, place);
      const candidate = await plan.more({ ...tuned, values: { ...values, ...found }, options });
      line.tried.set(place, candidate);
      return candidate;
    });
    yield { configurations: await Promise.all(next) };
  }
  const chosen = lines.map(async (line) => {
    const place = await bestPlace(line, results);
    return place === undefined ? [] : [await plan.more(withRate(line, place))];
  });
  yield { configurations: (await Promise.all(chosen)).flat() };
}

function withRate({ configuration: { values, options }, recipe }: Line, place: number): Wanted {
  // Rounded for readable tables.
  const scaled = (rate: number): number => Number((rate * 10 ** (place / 2)).toPrecision(2));
  const rates = { learningRate: scaled(recipe.learningRate), headLearningRate: scaled(recipe.headLearningRate) };
  // With a given rate, a run would train without contrast, for which the recipe's rate is not meant.
  const contrastive = recipe.contrastive && { contrastive: true };
  return {
    values,
    options: { ...options, ...rates, ...contrastive },
    found: { learningRate: String(rates.learningRate) },
  };
}

/** The best place so far; undefined if no trial has finished. */
async function bestPlace({ tried }: Line, results: SearchResults): Promise<number | undefined> {
  const [best] = await results.ranked([...tried.values()]);
  return [...tried].find(([, candidate]) => candidate === best)?.[0];
}

/**
 * The next place to try: first the recipe's (0), then the untried one nearest to the best, the higher of two. If all failed, the place
 * below
 * the lowest.
 * @param tried places in any order
 */
export function nextPlace(tried: readonly number[], best: number | undefined): number {
  if (tried.length === 0) return 0;
  if (best === undefined) return Math.min(...tried) - 1;
  let distance = 1;
  while (tried.includes(best + distance) && tried.includes(best - distance)) distance++;
  return tried.includes(best + distance) ? best - distance : best + distance;
}
