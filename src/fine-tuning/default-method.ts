import type { MethodDefinition } from "../methods/method.ts";
import { DEFAULT_METHOD, FITTED_HEAD_METHOD } from "../methods/methods.ts";
import type { TaskKind } from "../tasks/task-kind.ts";

/**
 * Returns the default method of runs (docs/results/which-method.md).
 * @param kind the kind of task; undefined until the examples are read
 * @param headStart start of the head, which only some kinds can fit
 */
export function defaultMethod(
  kind: Pick<TaskKind, "objective" | "reads"> | undefined,
  headStart: "fitted" | "new",
): MethodDefinition {
  const fitsHead = headStart === "fitted" && kind?.objective.linearLoss !== undefined;
  return fitsHead && kind.reads === undefined ? FITTED_HEAD_METHOD : DEFAULT_METHOD;
}
