import { z } from "zod";
import { UserError } from "../errors.ts";
import { PIXELS } from "../models/forward-context.ts";
import { AUGMENTATIONS } from "../tokenization/augment-picture.ts";
import type { Example, ModelInput } from "./example.ts";
import type { Columns, Table } from "./rows.ts";
import type { EncodedExample, TaskOptionValues, TextInput } from "./task-kind.ts";

/** Names that a column of paths often has; the first that there is is taken. */
const PATHS = ["image", "path", "file", "file_name", "filename", "text"];

/** Columns of paths of pictures and of their classes. @throws UserError where there is none of paths, or a second one is named */
export function pictureColumns(
  { columns, source }: Table,
  { text, label = "label", textPair }: Partial<Columns>,
): Required<Pick<Columns, "text" | "label">> {
  if (textPair !== undefined) throw new UserError("pictures are read one by one, not in pairs; leave out --text-pair");
  const path = text ?? PATHS.find((name) => columns.includes(name));
  if (path !== undefined) return { text: path, label };
  throw new UserError(`${source} has no column of paths of pictures (${PATHS.join(", ")}); name it with --text`);
}

/** An example of the path of a picture. @throws UserError where it is a pair */
export function pictureOfInput({ text, textPair }: TextInput): Pick<Example, "text"> {
  if (textPair !== undefined) throw new UserError("the model takes single pictures, not pairs");
  return { text };
}

/** Options of kinds whose examples are pictures. */
export const pictureOptions = z.object({
  augmentation: z
    .enum(AUGMENTATIONS)
    .optional()
    .describe(
      "how each step sees its pictures: none, as they are; crop, parts of them; crop-and-flip, also mirrored (default)",
    ),
});

/**
 * A picture as a model reads it, `[3, height, width]`: it comes to as many tokens as every other, none of which has an id.
 * @param options of the task
 */
export function encodePicture(
  { index, text, picture }: Example,
  _tokenizer: unknown,
  maxLength: number,
  options: TaskOptionValues = {},
): EncodedExample {
  if (!picture) throw new Error(`the picture ${text} has not been read`);
  const none = new Int32Array(maxLength);
  const { augmentation = "crop-and-flip" } = options as z.output<typeof pictureOptions>;
  const write: ModelInput["write"] = (into, variant) => picture.write(into, variant, augmentation);
  return { index, encoding: { inputIds: none, tokenTypeIds: none }, inputs: { [PIXELS]: { ...picture, write } } };
}
