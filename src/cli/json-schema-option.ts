import { UserError } from "../errors.ts";
import { readJsonFile } from "../files/json-file-node.ts";
import { grammarOfSchema } from "../inference/generation/constrained/json-schema.ts";
import type { JsonSchema } from "../inference/generation/constrained/schema-constraint.ts";
import { atOnce } from "../runtime/slices.ts";

/** Description of `--json-schema`. */
export const JSON_SCHEMA = "file with a JSON schema that a language model's answers must follow";

/**
 * Reads the JSON schema for answers, if a file is given. Checks it before a model is loaded.
 * @throws UserError if the file cannot be read, or the schema is not supported
 */
export async function givenSchema(file: string | undefined): Promise<{ jsonSchema?: JsonSchema }> {
  if (file === undefined) return {};
  const jsonSchema = (await readJsonFile(file)) as JsonSchema | undefined;
  if (jsonSchema === undefined)
    throw new UserError(`--json-schema: there is no file ${file}`, { code: "file-not-found" });
  atOnce(grammarOfSchema(jsonSchema));
  return { jsonSchema };
}
