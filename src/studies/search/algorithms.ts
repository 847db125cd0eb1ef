import { Registry } from "../../registry.ts";
import type { SearchAlgorithm } from "../study.ts";
import { grid } from "./grid.ts";
import { halving } from "./halving.ts";
import { learningRates } from "./learning-rates.ts";
import { random } from "./random.ts";
import { withinMinutes } from "./within-minutes.ts";

/** All search algorithms. A new one is one file and one line here. */
export const SEARCH_ALGORITHMS = new Registry<SearchAlgorithm>("search algorithm", [
  grid,
  random,
  halving,
  learningRates,
  withinMinutes,
]);
