import { UserError } from "../errors.ts";
import type { AdapterDescription } from "../model/adapter.ts";
import { thresholdFor } from "../tasks/metrics/calibration.ts";
import type { TaskKind } from "../tasks/task-kind.ts";

/** What is said in place of a class that is not sure enough. */
export const UNSURE = "unsure";

/** Whether a model of a kind chooses one class, of which it can be unsure. */
export const choosesClass = ({ head, objective }: Pick<TaskKind, "head" | "objective">): boolean =>
  head === "sequence" && objective.linearLoss === "softmax";

/**
 * The probability from which on a class is said.
 * @param asked a probability, or `auto:precision=0.95`: the least at which that share of the validation predictions was right
 * @throws UserError where it is neither, or the adapter does not say how sure its predictions were, or they never were so right.
 */
export function thresholdOf(asked: string, { confidence, task }: AdapterDescription): number {
  const [, share] = /^auto:precision=(.+)$/.exec(asked) ?? [];
  const value = asked.trim() === "" ? Number.NaN : Number(share ?? asked);
  if (!(value > 0 && value < 1)) {
    throw new UserError(`--threshold takes a probability such as 0.8, or auto:precision=0.95, not "${asked}"`);
  }
  if (share === undefined) return value;
  if (!confidence) {
    throw new UserError(
      `--threshold ${asked}: the adapter for "${task.name}" does not say how sure its predictions were; give a probability, or train it again`,
    );
  }
  const found = thresholdFor(confidence, value);
  if (found !== undefined) return found;
  throw new UserError(
    `--threshold ${asked}: on the ${confidence.at(-1)!.kept} validation examples no threshold shows that; give more of them, or a lower precision`,
  );
}

/** A prediction whose likeliest class is less likely than the threshold has the label {@link UNSURE}. */
export function unsureBelow<Shown extends object>(shown: Shown, threshold: number): Shown {
  const { label, labels } = shown as { label?: string; labels?: readonly { probability: number }[] };
  if (label === undefined || !labels || labels[0]!.probability >= threshold) return shown;
  return { ...shown, label: UNSURE };
}
