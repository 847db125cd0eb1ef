import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { z } from "zod";
import { type Choice, checkAllTakePart, drawChoice } from "../factors.ts";
import type { SearchAlgorithm, Study } from "../study.ts";
import { allToTheEnd } from "./grid.ts";

/** Seed of the draws, so that a repeated study is the same. */
const DRAW_SEED = 0;

/** Number of draws to attempt per new combination. */
const PATIENCE = 100;

const options = z.object({ trials: z.int().positive().max(10_000).describe("number of random combinations") });

export const random: SearchAlgorithm<typeof options> = {
  name: "random",
  summary: "a number of random combinations",
  options,
  async begin(study, { trials }) {
    return { choices: drawn(study, trials), ...allToTheEnd };
  },
};

export function drawn({ factors, options }: Pick<Study, "factors" | "options">, count: number): Choice[] {
  const generator = xoroshiro128plus(DRAW_SEED);
  const found = new Map<string, Choice>();
  for (let i = 0; i < count * PATIENCE && found.size < count; i++) {
    const choice = drawChoice(factors, options, generator);
    const key = JSON.stringify(choice.values);
    if (!found.has(key)) found.set(key, choice);
  }
  const choices = [...found.values()];
  checkAllTakePart(factors, choices, 'give more "trials", or that among the options');
  return choices;
}
