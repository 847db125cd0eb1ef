import type { BaseModel } from "../model/base-model.ts";

/** Parts of the head that train. */
export type HeadChoice = "new" | "all" | "classifier";

/**
 * Which of the head's weights train (`--head`): `new`, what the checkpoint lacks and the last layer in any case; `all`; or
 * `classifier`, the last layer's matrix alone, as in the paper. A language model's head is none of these: it belongs to the
 * pretrained model.
 */
export function headTrains(
  choice: HeadChoice,
  { trace, newWeights }: Pick<BaseModel, "trace" | "newWeights">,
): (name: string) => boolean {
  const { classifier } = trace;
  if (classifier === undefined) return () => false;
  if (choice === "classifier") return (name) => name === `${classifier}.weight`;
  if (choice === "all") return () => true;
  const made = new Set(newWeights.map(({ name }) => name));
  return (name) => made.has(name) || name.startsWith(`${classifier}.`);
}
