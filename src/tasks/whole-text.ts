import type { Example } from "./example.ts";
import { type ExampleCells, textOf } from "./rows.ts";
import type { EncodedExample, TaskKind } from "./task-kind.ts";

/** Common parts of kinds that make one prediction for a text or pair as a whole. */
export const wholeText = {
  head: "sequence",
  encode: ({ index, text, textPair }, tokenizer, maxLength): EncodedExample => ({
    index,
    encoding: tokenizer.encode(text, textPair, maxLength),
  }),
  exampleOfInput: (input) => input,
} as const satisfies Partial<TaskKind>;

/** Hugging Face's names for such kinds. */
export const sequenceClassification = {
  autoClass: "AutoModelForSequenceClassification",
  peftTaskType: "SEQ_CLS",
  pipeline: "text-classification",
} as const;

/** Text or texts of a row. @throws UserError if a cell has none. */
export function textsOf(cells: ExampleCells): Pick<Example, "text" | "textPair"> {
  const text = textOf(cells.text);
  const textPair = cells.textPair && textOf(cells.textPair);
  return { text, ...(textPair !== undefined && { textPair }) };
}
