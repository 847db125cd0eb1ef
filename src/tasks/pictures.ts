import { z } from "zod";
import { PIXELS } from "../architectures/forward-context.ts";
import { AUGMENTATIONS } from "../inputs/augment-picture.ts";
import type { Example, ModelInput } from "./example.ts";
import type { EncodedExample, TaskOptionValues } from "./task-kind.ts";

export const pictureOptions = z.object({
  augmentation: z
    .enum(AUGMENTATIONS)
    .optional()
    .describe(
      "augmentation of pictures in each step: none; crop, random parts; crop-and-flip, also mirrored (default)",
    ),
});

/** Encodes a picture, `[3, height, width]`. Each picture has the same number of tokens, without ids. */
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
