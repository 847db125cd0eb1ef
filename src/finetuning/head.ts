import { isPretrained } from "../models/trace.ts";
import type { BaseModel } from "./base-model.ts";

/** Parts of the head that train. */
export type HeadChoice = "new" | "all" | "classifier";

/**
 * Which of the head's weights train (`--head`): `new`, what the checkpoint lacks and the last layer in any case, except a
 * language model's; `all`; or `classifier`, the last layer's matrix alone, as in the paper.
 */
export function headTrains(
  choice: HeadChoice,
  { trace, newWeights, head }: Pick<BaseModel, "trace" | "newWeights" | "head">,
): (name: string) => boolean {
  if (choice === "classifier") return (name) => name === `${trace.classifier}.weight`;
  if (choice === "all") return () => true;
  const made = new Set(newWeights.map(({ name }) => name));
  return (name) => made.has(name) || (!isPretrained(head) && name.startsWith(`${trace.classifier}.`));
}
