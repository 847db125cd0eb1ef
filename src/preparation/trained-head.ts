import type { BaseModel } from "../base-models/base-model.ts";

/** Parts of the head that train. */
export type HeadChoice = "new" | "all" | "classifier";

/**
 * Returns whether a weight of the head trains (`--head`): `new` trains the weights that the checkpoint lacks and the last layer, `all`
 * every weight, and `classifier` only the last layer, as in the paper's released code (`run_glue.py`). The head of a language model never trains: it belongs
 * to the pretrained model.
 */
export function headTrains(
  choice: HeadChoice,
  { trace, newWeights }: Pick<BaseModel, "trace" | "newWeights">,
): (name: string) => boolean {
  const { classifier } = trace;
  if (classifier === undefined) return () => false;
  if (choice === "classifier") return (name) => name.startsWith(`${classifier}.`);
  if (choice === "all") return () => true;
  const made = new Set(newWeights.map(({ name }) => name));
  return (name) => made.has(name) || name.startsWith(`${classifier}.`);
}
