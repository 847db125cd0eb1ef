import type { Adapter } from "../base-models/adapter.ts";
import { opt, UserError } from "../errors.ts";
import { noveltyThreshold } from "../training/novelty/novelty.ts";

export const NONE = "none of these";

/**
 * Novelty above which a text belongs to none of the classes.
 * @throws UserError if the share is invalid, the adapter has no novelty data, or there were too few validation examples.
 */
export function noveltyLimit(
  share: number,
  { novelty, description }: Pick<Adapter, "novelty" | "description">,
): number {
  if (!(share > 0 && share < 1)) {
    throw new UserError(`${opt("noneOfThese")} takes a share of the known texts such as 0.05, not ${share}`);
  }
  if (!novelty) {
    throw new UserError(
      `${opt("noneOfThese")}: the adapter for "${description.task.name}" does not store which texts are usual; train it with at least 20 validation examples, and training examples of every class (1,000 classes at most)`,
    );
  }
  const limit = noveltyThreshold(novelty, share);
  if (limit !== undefined) return limit;
  const { length } = novelty.scores;
  throw new UserError(
    `${opt("noneOfThese")} ${share}: ${length} validation examples show no share below ${(1 / (length + 1)).toFixed(3)}; give more of them, or a larger share`,
  );
}
