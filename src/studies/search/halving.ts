import { z } from "zod";
import { gridOf } from "../factors.ts";
import type { Configuration, ExpectedRound, Round, SearchAlgorithm, SearchResults } from "../study.ts";
import { drawn } from "./random.ts";

const options = z.object({
  trials: z.int().positive().max(10_000).optional().describe("number of random combinations, instead of all"),
  reduction: z.int().min(2).default(3).describe("one trial in n continues"),
});

export const halving: SearchAlgorithm<typeof options> = {
  name: "halving",
  summary: "the best continue to more epochs",
  options,
  async begin(study, { trials, reduction }) {
    return {
      choices: trials === undefined ? gridOf(study.factors, study.options) : drawn(study, trials),
      expects: (configurations) => expected(configurations, reduction),
      rounds: ({ configurations }, results) => halve(configurations, reduction, results),
    };
  },
};

export interface Rung {
  /** Number of epochs of the run at the end of the rung. */
  epochs: number;
  configurations: number;
}

/**
 * The rungs of successive halving (Jamieson and Talwalkar 2016, arXiv 1502.07943) over epochs. At each rung, one of `reduction`
 * configurations continues, to `reduction` times as many epochs; at the last rung to all of them.
 */
export function rungsOf(configurations: number, epochs: number, reduction: number): Rung[] {
  // As many rungs as configurations allow, but none below one epoch.
  let below = 0;
  while (configurations / reduction ** (below + 1) >= 1 && Math.round(epochs / reduction ** (below + 1)) >= 1) below++;
  return Array.from({ length: below + 1 }, (_, i) => ({
    epochs: Math.round(epochs / reduction ** (below - i)),
    configurations: Math.max(1, Math.ceil(configurations / reduction ** i)),
  }));
}

/** Total epochs of all rungs, each resuming from the one before. */
export function epochsOf(rungs: readonly Rung[]): number {
  return rungs.reduce((sum, rung, i) => sum + rung.configurations * (rung.epochs - (rungs[i - 1]?.epochs ?? 0)), 0);
}

/** Configurations with fewer epochs than others end before the last rung. */
const rungsFor = (configurations: readonly Configuration[], reduction: number): Rung[] =>
  rungsOf(configurations.length, Math.ceil(Math.max(...configurations.map(({ length }) => length.epochs))), reduction);

function expected(configurations: readonly Configuration[], reduction: number): ExpectedRound[] {
  const rungs = rungsFor(configurations, reduction);
  const seeds = configurations[0]!.trials.length;
  return rungs.map(({ epochs, configurations: count }, i) => ({
    trials: count * seeds,
    from: rungs[i - 1]?.epochs ?? 0,
    to: i === rungs.length - 1 ? Number.POSITIVE_INFINITY : epochs,
  }));
}

/** Trains all configurations for a few epochs, the best of them for more, and the last ones to their end. */
export async function* halve(
  configurations: readonly Configuration[],
  reduction: number,
  results: SearchResults,
): AsyncGenerator<Round, void, void> {
  let left = configurations;
  const rungs = rungsFor(configurations, reduction);
  for (const [i, { epochs }] of rungs.entries()) {
    const next = rungs[i + 1];
    const many = `${left.length} ${left.length === 1 ? "configuration" : "configurations"}`;
    yield {
      configurations: left,
      ...(rungs.length > 1 && { note: `${many} to epoch ${epochs}` }),
      ...(next && { epochs }),
    };
    if (!next) return;
    left = (await results.ranked(left, epochs)).slice(0, next.configurations);
  }
}
