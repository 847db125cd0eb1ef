import { readFile } from "node:fs/promises";
import { parseJson } from "../checkpoints/json-file.ts";
import { UserError } from "../errors.ts";
import { grammarOfSchema } from "../inference/generation/constrained/json-schema.ts";
import type { JsonSchema } from "../inference/generation/constrained/schema-constraint.ts";

/** What `--json-schema` says of itself. */
export const JSON_SCHEMA = "file with a JSON schema that answers of a language model are held to";

/**
 * The schema that answers are held to, where a file of one is given; it is looked at before a model is loaded.
 * @throws UserError where the file cannot be read, or the schema is not supported.
 */
export async function givenSchema(file: string | undefined): Promise<{ jsonSchema?: JsonSchema }> {
  if (file === undefined) return {};
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw new UserError(`--json-schema ${file} cannot be read: ${error.message}`);
  });
  const jsonSchema = parseJson(text, file) as JsonSchema;
  grammarOfSchema(jsonSchema);
  return { jsonSchema };
}
