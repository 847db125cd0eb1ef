import type { AdapterDescription } from "../base-models/adapter.ts";
import { opt, UserError } from "../errors.ts";
import { decimalNumber } from "../tasks/decimal-number.ts";
import { thresholdFor } from "../tasks/metrics/calibration.ts";
import type { TaskKind } from "../tasks/task-kind.ts";

export const UNSURE = "unsure";

export const choosesClass = ({ choosesClass }: Pick<TaskKind, "choosesClass">): boolean => choosesClass === true;

/**
 * Probability from which on a class is predicted.
 * @throws UserError if it is neither, the adapter has no confidence data, or no threshold has this precision.
 */
export function thresholdOf(asked: string, { confidence, task }: AdapterDescription): number {
  const [, share] = /^auto:precision=(.+)$/.exec(asked) ?? [];
  const value = decimalNumber(share ?? asked);
  if (!(value > 0 && value < 1)) {
    throw new UserError(`${opt("threshold")} takes a probability such as 0.8, or auto:precision=0.95, not "${asked}"`);
  }
  if (share === undefined) return value;
  if (!confidence) {
    throw new UserError(
      `${opt("threshold")} ${asked}: the adapter for "${task.name}" does not store how sure its predictions were; give a probability, or train it again`,
    );
  }
  const found = thresholdFor(confidence, value);
  if (found !== undefined) return found;
  throw new UserError(
    `${opt("threshold")} ${asked}: on the ${confidence.at(-1)!.kept} validation examples no threshold shows that; give more of them, or a lower precision`,
  );
}

export function unsureBelow<Shown extends object>(shown: Shown, threshold: number): Shown {
  const { label, labels } = shown as { label?: string; labels?: readonly { probability: number }[] };
  if (label === undefined || !labels || labels[0]!.probability >= threshold) return shown;
  return { ...shown, label: UNSURE };
}
