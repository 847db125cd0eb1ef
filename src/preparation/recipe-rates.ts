import type { MethodDefinition } from "../methods/method.ts";
import type { TaskKind } from "../tasks/task-kind.ts";

/** Largest number of blocks with which AFLoRA scored as high as LoRA, and with which twice LoRA's rate scored no higher. */
export const FEW_LAYERS = 6;
/** Number of examples below which twice LoRA's rate scored no higher: with 900 it did, with 693 not (docs/results/which-method.md). */
const FEW_EXAMPLES = 800;

/** Properties of a run that its learning rates depend on. */
export interface RatedRun {
  /** Whether classes are learned by contrast. */
  contrastive: boolean;
  /** Whether training starts from a fitted head. */
  startsFitted: boolean;
  /** The kind of task; undefined until the examples are read. */
  kind: Pick<TaskKind, "reads" | "refines"> | undefined;
  /** Number of the model's blocks; undefined until the model is opened. */
  layers: number | undefined;
  /** Number of training examples; undefined until they are read. */
  examples: number | undefined;
}

/** Returns the peak learning rates of a method's recipe for a run (docs/methods.md): of the method and of the head. */
export function ratesOf(
  recipe: MethodDefinition["recipe"],
  { contrastive, startsFitted, kind, layers = 0, examples = 0 }: RatedRun,
): { learningRate: number; headLearningRate: number } {
  const { learningRate, headLearningRate, pictureLearningRate } = recipe;
  if (contrastive) return { learningRate: recipe.contrastLearningRate ?? learningRate, headLearningRate };
  if (kind?.reads === "pictures" && pictureLearningRate !== undefined)
    return { learningRate: pictureLearningRate, headLearningRate: pictureLearningRate };
  if (kind?.refines) return { learningRate: recipe.refiningLearningRate ?? learningRate, headLearningRate };
  const isText = startsFitted && kind?.reads === undefined;
  const isLarge = isText && layers > FEW_LAYERS && examples >= FEW_EXAMPLES;
  return { learningRate: (isLarge && recipe.largeLearningRate) || learningRate, headLearningRate };
}
