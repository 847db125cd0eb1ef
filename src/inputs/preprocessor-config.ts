import type { z } from "zod";
import { readJson } from "../checkpoints/json-file.ts";
import type { ModelFiles } from "../checkpoints/model-files.ts";
import { inWords, UserError } from "../errors.ts";

/**
 * Reads `preprocessor_config.json`, which holds the settings of Hugging Face's processors of pictures and sounds.
 * @returns the settings, and the file's location for error messages; undefined if the folder has none
 * @throws UserError if it is damaged or does not fit the schema.
 */
export async function readPreprocessorConfig<Schema extends z.ZodType>(
  files: ModelFiles,
  schema: Schema,
): Promise<{ settings: z.output<Schema>; location: string } | undefined> {
  const raw = await readJson(files, "preprocessor_config.json");
  if (raw === undefined) return undefined;
  const location = `${files.location}/preprocessor_config.json`;
  const result = schema.safeParse(raw, { error: inWords });
  if (result.success) return { settings: result.data, location };
  const [issue] = result.error.issues;
  throw new UserError(`${location}: ${issue!.path.join(".") || "the whole"}: ${issue!.message}`);
}
