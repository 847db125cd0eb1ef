import type { MethodDefinition } from "../methods/method.ts";
import type { TaskKind } from "../tasks/task-kind.ts";

/**
 * Returns the peak learning rates of a method's recipe for a kind of task: of the method and of the head.
 * @param contrastive whether classes are learned by contrast
 * @param kind the kind of task; undefined until the examples are read
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
