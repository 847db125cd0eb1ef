import { opt } from "../errors.ts";
import type { TaskData } from "../tasks/example.ts";
import { MOST_KEPT } from "../tasks/list.ts";

type Task = Pick<TaskData, "name" | "labels">;

/** Examples, and those of each class up to a limit, that are enough to fit a head from which training continues. */
const START_EXAMPLES = 20_000;
const START_EXAMPLES_A_CLASS = 50;

/** Number of examples that are enough to fit a head from which training continues. */
export const startExamples = ({ labels }: Pick<Task, "labels">): number =>
  Math.max(START_EXAMPLES, Math.min(MOST_KEPT, START_EXAMPLES_A_CLASS * labels.length));

/** Number of the examples of a large training set that are read before training. @param epochs 0 if only the head learns */
export const sampleSize = (task: Pick<Task, "labels">, epochs: number): number =>
  epochs > 0 ? startExamples(task) : MOST_KEPT;

/** Validation examples with which the standard error of an accuracy is at most 0.005, and those of each class. */
const EVALUATED = 10_000;
const EVALUATED_A_CLASS = 5;

/** Number of validation examples that are evaluated. Published tasks are evaluated on all of theirs, as papers do. @param asked by the user */
export function evaluatedCount(
  { name, labels }: Task,
  { length }: { length: number },
  asked: number | "all" | undefined,
): number {
  const enough = name === "custom" ? Math.max(EVALUATED, EVALUATED_A_CLASS * labels.length) : "all";
  const count = asked ?? enough;
  return count === "all" ? length : Math.min(length, count);
}

/** Note on the part of a split that is evaluated; none if all of it is. */
export function evaluationNotes(
  split: string,
  { length: all }: { length: number },
  { length }: { length: number },
): string[] {
  if (length === all) return [];
  const [some, of] = [length, all].map((count) => count.toLocaleString("en-US"));
  const error = Math.ceil(500 / Math.sqrt(length)) / 1000;
  return [
    `${some} of the ${of} ${split} examples are evaluated, which gives an accuracy a standard error of at most ${error}; ${opt("evaluateSamples")} all takes all`,
  ];
}
