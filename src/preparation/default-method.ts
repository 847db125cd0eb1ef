import type { MethodDefinition } from "../methods/method.ts";
import { DEFAULT_METHOD, FITTED_HEAD_METHOD } from "../methods/methods.ts";
import type { TaskKind } from "../tasks/task-kind.ts";
import { FEW_LAYERS } from "./recipe-rates.ts";

/**
 * Returns the default method of runs (docs/results/which-method.md).
 * @param kind the kind of task; undefined until the examples are read
 * @param headStart start of the head, which only some kinds can fit
 * @param layers number of the model's blocks; undefined until the model is opened
 */
export function defaultMethod(
  kind: Pick<TaskKind, "objective" | "reads"> | undefined,
  headStart: "fitted" | "new",
  layers: number | undefined,
): MethodDefinition {
  const fitsHead = headStart === "fitted" && kind?.objective.linearLoss !== undefined;
  const isSmall = layers !== undefined && layers <= FEW_LAYERS;
  return fitsHead && kind.reads === undefined && isSmall ? FITTED_HEAD_METHOD : DEFAULT_METHOD;
}
