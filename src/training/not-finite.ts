import { UserError } from "../errors.ts";
import { notFinite } from "../graph/tensor.ts";
import { globalNorm } from "./optimizer/gradient-norm.ts";
import type { StepOutcome } from "./step.ts";

const ADVICE = "lower the learning rate";

/**
 * Computes the global norm of a step's gradients.
 * @throws UserError if the loss or the norm is not finite, naming it and the step
 */
export function finiteNorm({ loss, gradients }: Pick<StepOutcome, "loss" | "gradients">, where: string): number {
  const norm = globalNorm(gradients);
  const of = Number.isFinite(norm) ? undefined : notFinite(gradients);
  refuseNotFinite(loss, norm, where, of ? `, for one of ${of}` : "");
  return norm;
}

/** @throws UserError if a step's loss or the norm of its gradients is not finite */
export function refuseNotFinite(loss: number, norm: number, where: string, of = ""): void {
  if (!Number.isFinite(loss)) throw new UserError(`the loss is ${loss} at ${where}; ${ADVICE}`);
  if (!Number.isFinite(norm)) throw new UserError(`the norm of the gradient is ${norm} at ${where}${of}; ${ADVICE}`);
}

/** @throws UserError if there is one */
export function refuseOverflow(overflown: string | undefined, where: string): void {
  if (overflown === undefined) return;
  throw new UserError(`${overflown} has values that are not finite after ${where}; ${ADVICE}`);
}
