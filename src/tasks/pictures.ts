import { UserError } from "../errors.ts";
import { PIXELS } from "../models/forward-context.ts";
import type { Example } from "./example.ts";
import type { Columns, Table } from "./rows.ts";
import type { EncodedExample, TextInput } from "./task-kind.ts";

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

/** A picture as a model reads it, `[3, height, width]`: it comes to as many tokens as every other, none of which has an id. */
export function encodePicture(
  { index, text, picture }: Example,
  _tokenizer: unknown,
  maxLength: number,
): EncodedExample {
  if (!picture) throw new Error(`the picture ${text} has not been read`);
  const none = new Int32Array(maxLength);
  return { index, encoding: { inputIds: none, tokenTypeIds: none }, inputs: { [PIXELS]: picture } };
}
