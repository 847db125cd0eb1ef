import { z } from "zod";
import { gridOf } from "../factors.ts";
import type { BegunSearch, SearchAlgorithm } from "../study.ts";

const options = z.object({});

export const grid: SearchAlgorithm<typeof options> = {
  name: "grid",
  summary: "every combination",
  options,
  async begin(study) {
    return { choices: gridOf(study.factors, study.options), ...allToTheEnd };
  },
};

export const allToTheEnd: Pick<BegunSearch, "expects" | "rounds"> = {
  expects: (configurations) => [{ trials: trialsOf(configurations), from: 0, to: Number.POSITIVE_INFINITY }],
  async *rounds({ configurations }) {
    yield { configurations };
  },
};

export const trialsOf = (configurations: readonly { trials: readonly unknown[] }[]): number =>
  configurations.reduce((sum, { trials }) => sum + trials.length, 0);
