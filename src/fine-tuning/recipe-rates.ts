import type { MethodDefinition } from "../methods/method.ts";
import type { TaskKind } from "../tasks/task-kind.ts";

/**
 * The peak learning rates that a method's recipe has for a kind of task, of the method and of the head.
 * @param contrastive whether classes are learned by contrast
 * @param kind undefined: what most kinds have
 */
export function ratesOf(
  recipe: MethodDefinition["recipe"],
  contrastive: boolean,
  kind: Pick<TaskKind, "reads" | "refines"> | undefined,
): { learningRate: number; headLearningRate: number } {
  const { learningRate, headLearningRate, contrastLearningRate, pictureLearningRate, refiningLearningRate } = recipe;
  if (contrastive) return { learningRate: contrastLearningRate ?? learningRate, headLearningRate };
  if (kind?.reads === "pictures" && pictureLearningRate !== undefined)
    return { learningRate: pictureLearningRate, headLearningRate: pictureLearningRate };
  return { learningRate: (kind?.refines && refiningLearningRate) || learningRate, headLearningRate };
}
